"""What the next trials of a study would gain, read from its trials.

It is asked after every trial, so it needs no pandas, and what it has read of ended trials is kept.
"""

from __future__ import annotations

import math

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from regstudy.analysis.next_trials import NextTrials, next_trials, noise_of_repeats, noise_of_share
from regstudy.metrics import is_metric, metric_or_accuracy
from regstudy.records import parse_groups
from regstudy.space.round_plan import ROUND
from regstudy.study import attributes
from regstudy.study.ranking import direction_of, gap_of_trial, within
from regstudy.study.stored_facts import fact

ENDED = (TrialState.COMPLETE, TrialState.PRUNED)


class Outlook:
    """Reads a search again and again; ``values``: those of its ended trials, NaN for one that cannot win."""

    def __init__(self) -> None:
        self.values: dict[int, float] = {}

    def of(self, study: optuna.Study, fresh: optuna.Study | None = None) -> NextTrials | None:
        """What the next trials would gain now; None with too few trials, or for a study that regstudy did not make.

        ``fresh``: its confirmation runs, which tell the noise of one value.
        """
        name = fact(study, attributes.METRIC)
        if name is None or not is_metric(name) or len(study.directions) != 1:
            return None
        trials = study.get_trials(deepcopy=False, states=ENDED)
        limit, best = fact(study, attributes.GAP_AT_MOST), _Best(direction_of(study) == StudyDirection.MAXIMIZE)
        for trial in trials:
            if trial.number not in self.values:
                self.values[trial.number] = _value(trial, name, limit)
            best.see(trial, self.values[trial.number])
        noise = noise_of_repeats(_rounds(fresh)) if fresh is not None else None
        if noise is None and best.trial is not None:
            noise = _noise(study, best.trial, name)
        return next_trials([self.values[trial.number] for trial in trials], noise, maximize=best.maximize)


class _Best:
    """The best trial of those seen."""

    def __init__(self, maximize: bool) -> None:
        self.maximize, self.value = maximize, math.nan
        self.trial: FrozenTrial | None = None

    def see(self, trial: FrozenTrial, value: float) -> None:
        better = value > self.value if self.maximize else value < self.value
        if math.isfinite(value) and (better or self.trial is None):
            self.trial, self.value = trial, value


def _value(trial: FrozenTrial, name: str, limit: float | None) -> float:
    """The value of a trial that may win, else NaN."""
    if trial.state != TrialState.COMPLETE or trial.value is None or fact(trial, attributes.OUTCOME) == "diverged":
        return math.nan
    if limit is not None and not within(gap_of_trial(trial, metric_or_accuracy(name)), limit):
        return math.nan
    return trial.value


def _noise(study: optuna.Study, best: FrozenTrial, name: str) -> float | None:
    """The standard error of the best accuracy: of its validation images, which may come in groups.

    Only an accuracy is a count of images; what is stored does not tell the noise of other metrics.
    """
    if name != "val_accuracy" or best.value is None:
        return None
    counts = parse_groups(fact(best, attributes.GROUPS) or {}).get("validation")
    if counts is not None:
        from regstudy.analysis.share_error import part_error  # pandas takes half a second

        found = part_error(None, counts)
        return found.standard_error if found is not None else None
    matrix = (fact(best, attributes.CONFUSION) or {}).get("validation")
    images = sum(count for *_, count in matrix["cells"]) if matrix else 0
    return noise_of_share(best.value, images or (fact(study, attributes.DATA) or {}).get("validation") or 0)


def _rounds(fresh: optuna.Study) -> list[dict[int, float]]:
    """The values of confirmation runs by configuration and round."""
    found: dict[str, dict[int, float]] = {}
    for trial in fresh.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        number, arm = trial.params.get(ROUND), fact(trial, attributes.ARM)
        if isinstance(number, int) and arm is not None and trial.value is not None:
            found.setdefault(arm, {})[number] = trial.value
    return list(found.values())
