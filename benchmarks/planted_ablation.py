"""Ablations of real trainings whose truth is planted: does `regstudy ablate` name it?

    python benchmarks/planted_ablation.py [--only a b] [--work FOLDER]

Each case is a study of real digits (scikit-learn's) with a fixed configuration, so the winner has the planted
regularizers on, and an ablation of it, both through the public API and on one thread. Prints a table. Runs that are
already finished under --work are not repeated. `planted_images.py` makes the images.

- a: validation images are turned and moved, training images are not. Augmentation must have closed the gap.
- b: placebos, too weak to do anything. In 20 repetitions with other seeds, none may get another verdict than "no
  effect" or "undecided" in 17 at least.
- c: some training images are noise with random labels, so learning them is of no use. What hinders that must be called
  underfitting.
- d: a regularizer far too strong. It must have hurt.
- e: validation images are moved, and two operations of augmentation both teach that. Either must be called enough.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState

import regstudy
from regstudy.training.devices import keep_freed_memory

UNDERFITS = "smaller gap, validation not better (underfits)"
REPETITIONS = 20
TRIALS = 2  # the winner and its baseline
COMMON: dict[str, Any] = {
    "preprocessing": {"normalize": "half"},
    "optimizer": {"name": "adamw", "lr": 3e-3},
    "schedule": {"name": "cosine"},
}


@dataclass(frozen=True)
class Case:
    """A winner and what is true of it. ``truth``: the verdicts that are right, by regularizer."""

    planted: str
    data: Mapping[str, Any]
    winner: Mapping[str, Mapping[str, Any]]
    truth: Mapping[str, tuple[str, ...]]
    epochs: int
    options: Mapping[str, Any] = field(default_factory=dict)
    interaction: str = ""  # what must be said of one
    needed: int = 0  # of the repetitions must be right


def own(**options: float) -> Mapping[str, Any]:
    """Images with their own validation part."""
    return {"name": "planted_images:digits", "size": 22, "options": options}


NOTHING = ("no effect", "undecided")
DIGITS = {"name": "digits", "size": 22, "train_limit": 200, "validation": 300}
CASES = {
    "a": Case(
        "validation turned by up to 25° and moved by up to 2 pixels; augmentation does that to training images",
        own(turned=25, moved=2),
        {
            "model": {"dropout": 0.2},
            "regularization": {"label_smoothing": 1e-6},
            "augmentation": {"strength": 1.0, "ops": ["shift", "rotate"]},
        },
        {"augmentation": ("closed the gap",), "label smoothing": NOTHING},
        15,
    ),
    "b": Case(
        "placebos: label smoothing and dropout of 1e-6",
        DIGITS | {"train_limit": 150},
        {"model": {"dropout": 1e-6}, "regularization": {"label_smoothing": 1e-6}},
        {"label smoothing": NOTHING, "dropout": NOTHING},
        8,
        {"runs": 32},
        needed=17,
    ),
    "c": Case(
        "60 of 260 training images are noise with random labels; dropout keeps the network from memorizing these",
        own(noise=60),
        {"model": {"dropout": 0.5}, "schedule": {"name": "constant"}},
        {"dropout": (UNDERFITS,)},
        24,
        {"margin": 1.5},
    ),
    "d": Case(
        "L2 far too strong",
        DIGITS,
        {"regularization": {"l2": 8.0, "label_smoothing": 1e-6}},
        {"L2": ("hurt",), "label smoothing": NOTHING},
        10,
    ),
    "e": Case(
        "validation moved by up to 3 pixels; crop and shift both do that to training images",
        own(moved=3),
        {"augmentation": {"strength": 1.0, "ops": ["crop", "shift"]}},
        {},
        15,
        {"fine": True, "interactions": True},
        "either of augmentation by crop and augmentation by shift is enough",
    ),
}


def main() -> None:
    """Run what is not finished yet, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--work", type=Path, default=Path("results/planted_ablation"))
    given = parser.parse_args()
    keep_freed_memory()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    rows = [judged(name, CASES[name], given.work) for name in given.only]
    print("\n| case | planted | said | right | runs | time |\n|---|---|---|---|--:|--:|")
    print("\n".join(f"| {' | '.join(row)} |" for row in rows))


def judged(name: str, case: Case, work: Path) -> list[str]:
    """The row of a case in the table."""
    found = [ablated(f"{name}_{seed}", case, work, seed) for seed in range(REPETITIONS if case.needed else 1)]
    wrong = [
        f"seed {seed}: {what} {one.verdicts[what]}"
        for seed, one in enumerate(found)
        for what, right in case.truth.items()
        if one.verdicts[what] not in right
    ]
    if case.needed:
        good = REPETITIONS - len({text.partition(":")[0] for text in wrong})
        said = [f"only “no effect” or “undecided” in {good} of {REPETITIONS} repetitions", *wrong]
        right = good >= case.needed
    elif case.interaction:
        said = [line for line in found[0].sentences if case.interaction in line.lower()]
        right = bool(said)
    else:
        said, right = [f"{what}: {verdict}" for what, verdict in found[0].verdicts.items()], not wrong
    runs, seconds = sum(one.runs for one in found), sum(one.seconds for one in found)
    answer = "yes" if right else "**no**"
    return [name, case.planted, "; ".join(said) or "nothing of it", answer, str(runs), f"{seconds / 60:.1f} min"]


@dataclass(frozen=True)
class Outcome:
    """What an ablation says, and its cost."""

    verdicts: Mapping[str, str]
    sentences: Sequence[str]
    runs: int
    seconds: float


def ablated(name: str, case: Case, work: Path, seed: int) -> Outcome:
    """The study and the ablation of a case, as far as they are not there yet."""
    tree = COMMON | {"data": case.data, "study": {"seed": seed}}
    tree["training"] = {"batch_size": 32, "epochs": case.epochs, "patience": None, "precision": "fp32"}
    tree |= {key: dict(values) for key, values in case.winner.items() if key != "model"}
    tree["model"] = {"name": "dropout_cnn"} | dict(case.winner.get("model", {}))
    where = {"data_dir": work / "data", "threads": 1, "device": "cpu"}
    space = regstudy.load_space(tree, name=name)
    regstudy.run_study(space, trials=TRIALS, confirm=0, doctor=False, results=work, **where)
    study = regstudy.ablate(work / name, **case.options, **where)
    assert study.ablation is not None
    assert study.ablated is not None
    ended = study.ablated.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    runs = [trial.duration for trial in ended if trial.duration]
    verdicts = dict(zip(study.ablation["regularizer"], study.ablation["verdict"], strict=True))
    print(f"{name}: {verdicts}", flush=True)
    lines: list[str] = []
    if case.interaction:
        lines = (study.report().parent / "ablation.md").read_text(encoding="utf-8").splitlines()
    return Outcome(verdicts, lines, len(runs), sum(runs, timedelta()).total_seconds())


if __name__ == "__main__":
    main()
