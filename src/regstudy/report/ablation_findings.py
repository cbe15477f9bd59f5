"""What the report knows of an ablation: its effects and interactions, the runs, and the trial that was taken apart."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from regstudy.analysis.ablation import Ablation, Effect
from regstudy.analysis.ablation_arms import EVERYTHING
from regstudy.analysis.ablation_tables import ablation_of, compared, results_in, stages_in, tries_in
from regstudy.analysis.interactions import Interaction, interactions
from regstudy.config.active_regularizers import regularizer_words
from regstudy.config.learning_rate import LEARNING_RATE
from regstudy.metrics import Metric
from regstudy.study.tables import Tables


@dataclass(frozen=True)
class AblationFindings:
    """``runs`` are the tables of the ablation runs, ``winner`` the number of the trial that was taken apart.

    ``settings``: the value of each of its regularizers by short name. ``left``: runs still to come, at most. ``tried``:
    finished runs that chose the learning rates of the arms; they are in nothing but ``factors``, what the rate of the
    winner is multiplied by in each arm. ``rates`` holds this rate, if all phases share it.
    """

    result: Ablation
    interactions: list[Interaction]
    runs: Tables
    metric: Metric
    winner: int
    settings: dict[str, object]
    own_validation: bool
    left: int
    run_seconds: float
    tried: int = 0
    factors: Mapping[str, float] = field(default_factory=dict)
    rates: Sequence[float] = ()

    @property
    def single(self) -> list[Effect]:
        """The effects of the regularizers in the winner, without that of all of them together."""
        return [one for one in self.primary if one.name != EVERYTHING]

    @property
    def primary(self) -> list[Effect]:
        """The effects of the primary family."""
        return [one for one in self.result.effects if one.contrast.family == "primary"]

    @property
    def together(self) -> Effect | None:
        """The effect of all regularizers together, if there are several."""
        return next((one for one in self.primary if one.name == EVERYTHING), None)

    @property
    def arms(self) -> list[str]:
        """Every arm, the winner first and those of the lattice last."""
        compared = [arm for one in self.result.effects for arm in one.contrast.arms]
        return list(dict.fromkeys([*compared, *map(str, self.runs.trials["arm"])]))

    @property
    def standing(self) -> list[Interaction]:
        """The interactions that stand; of a pair, that in the metric if it stands in both."""
        found: dict[tuple[str, str], Interaction] = {}
        for one in sorted(self.interactions, key=lambda one: one.measure != "metric"):
            if one.stands:
                found.setdefault((one.first, one.second), one)
        return list(found.values())

    @property
    def total_runs(self) -> float:
        """The total number of runs to ask for so that what is undecided would be decided; infinite if too many."""
        more = self.result.more_runs
        return self.spent + math.ceil(more) if math.isfinite(more) else math.inf

    @property
    def spent(self) -> int:
        """Finished runs, those that chose learning rates included."""
        return self.result.runs + self.tried


def ablation_findings(search: Tables, runs: Tables | None) -> AblationFindings | None:
    """What the ablation runs of a study show; None without any."""
    result = ablation_of(search, runs)
    if result is None or runs is None or not result.effects:
        return None
    tried = sum(len(row) for row in tries_in(runs).values())
    runs = compared(runs)
    stored, lost = runs.ablation, frozenset((arm, repeat) for arm, repeat in runs.ablation.get("lost", ()))
    active = list(stored["active"])
    found = (
        interactions(results_in(runs), active, stages_in(runs), maximize=search.maximize, lost=lost)
        if stored.get("interactions")
        else []
    )
    ended = runs.trials[runs.trials["state"] == "COMPLETE"]
    spent = result.runs + tried
    open_ = len(stored["planned"]) > spent + len(lost)  # else it has ended, perhaps early
    return AblationFindings(
        result=result,
        interactions=found,
        runs=runs,
        metric=search.measured,
        winner=int(stored["winner"]),
        settings=_settings(search, int(stored["winner"])),
        own_validation=bool(search.data.get("own_validation")),
        left=max(1, int(stored["runs"]) - spent) if open_ else 0,
        run_seconds=float(ended["seconds"].mean()),
        tried=tried,
        factors=dict(stored.get("factors", {})),
        rates=_rates(search, int(stored["winner"])),
    )


def _settings(search: Tables, winner: int) -> dict[str, object]:
    rows = search.trials[search.trials["number"] == winner]
    if rows.empty:
        return {}
    active = {
        path: value
        for path, off in search.regularizers.items()
        if (values := search.strength(path)) is not None and (value := values.loc[rows.index[0]]) != off
    }
    return dict(zip(regularizer_words(active), active.values(), strict=True))


def _rates(search: Tables, winner: int) -> list[float]:
    """The learning rate of the trial; none if its phases may have their own."""
    rows = search.trials[search.trials["number"] == winner]
    if rows.empty or LEARNING_RATE not in rows or ("phases" in rows and rows["phases"].iloc[0]):
        return []
    rate = float(rows[LEARNING_RATE].iloc[0])
    return [rate] if math.isfinite(rate) else []
