"""What may be asked of a final training besides its configuration, and what cannot be combined."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from regstudy.errors import Problem, argument_error, unknown

TRAIN, BOTH = "train", "train+validation"
MOST_SEEDS = 100


@dataclass(frozen=True)
class TrainingRequest:
    """``on``: the images to train on; ``seeds``: how many trainings on the same split, of which one is kept.

    ``ensemble`` keeps all of them and averages their probabilities; ``temperature`` divides the logits by a number that
    is fitted on the validation images. ``command`` is what the user typed.
    """

    on: str = TRAIN
    seeds: int = 1
    ensemble: bool = False
    temperature: bool = False
    command: str = ""

    def check(self) -> None:
        """ArgumentError that names everything that is not allowed."""
        problems = list(self._problems())
        if problems:
            raise argument_error(problems)

    @property
    def holds_out(self) -> bool:
        """Whether validation images are left that can choose and measure."""
        return self.on == TRAIN

    def _problems(self) -> Iterator[Problem]:
        if self.on not in (TRAIN, BOTH):
            yield Problem("on (--on)", unknown("part to train on", str(self.on), (TRAIN, BOTH)) + self._about_test())
        whole = isinstance(self.seeds, int) and not isinstance(self.seeds, bool)
        if not whole or not 1 <= self.seeds <= MOST_SEEDS:
            sentence = f"must be a whole number from 1 to {MOST_SEEDS}, but it is {self.seeds!r}."
            yield Problem("seeds (--seeds)", sentence)
        for name in ("ensemble", "temperature"):
            if not isinstance(given := getattr(self, name), bool):
                yield Problem(f"{name} (--{name})", f"must be True or False, but it is {given!r}.")
        if self.ensemble is True and self.seeds == 1:
            yield Problem(
                "ensemble (--ensemble)",
                "needs several trainings to average. Add --seeds 5 (in Python: seeds=5), or leave it out.",
            )
        if self.temperature is True and self.on == BOTH:
            yield Problem(
                "temperature (--temperature)",
                f"is fitted on validation images, and --on {BOTH} leaves none. Leave out one of the two.",
            )

    def _about_test(self) -> str:
        wants_test = "test" in str(self.on)
        return " The test part is never trained on: it measures the result." if wants_test else ""
