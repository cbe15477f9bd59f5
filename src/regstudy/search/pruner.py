"""The pruners of a search, called after each epoch, and `SignalPruner`, which works in any Optuna study."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any

import numpy as np
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from regstudy.errors import ArgumentError, require
from regstudy.records import PruningDecision
from regstudy.search.fold_rule import FOLD_CHANCE, decide_on_folds
from regstudy.search.pruning_rule import MIN_CHANCE, MIN_FULL_RUNS, MIN_PEERS, WARM_UP_SHARE, Peer, decide, warm_up
from regstudy.search.search_options import PrunerName
from regstudy.space.plan import Plan
from regstudy.study import attributes
from regstudy.study.stored_facts import fact
from regstudy.training.time_share import TimeShare

AUDIT_SHARE = 0.1  # of the trials are never pruned, to measure how often pruning is wrong
HYPERBAND_REDUCTION = 3
HYPERBAND_FIRST = 0.1  # share of the epochs at which the first rung lies
READING_SHARE = 0.005  # of the time of a training is spent at most on reading the other trials
PEER_STATES = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)


class SignalPruner(BasePruner):
    """Prunes a trial that is behind its peers and is forecast to stay there; see `regstudy.search.pruning_rule.decide`.

    ``epochs``: how many values a full trial reports. ``chance``: a trial is pruned if its estimated probability of
    ending in the best quarter is lower than this, scaled by the share of epochs left; a larger value prunes more. None
    stands for 0.25, and for 0.06 between the folds of a cross-validation. A share ``audit`` of the trials, chosen by
    ``seed``, is never pruned: ``shadows`` holds, by trial number, the epoch at which each would have been, ``reasons``
    why the others were. Works for maximizing and minimizing studies.
    """

    def __init__(self, epochs: int, chance: float | None = None, audit: float = AUDIT_SHARE, seed: int = 0) -> None:
        if isinstance(epochs, bool) or not isinstance(epochs, int) or epochs < 1:
            raise ArgumentError(f"epochs must be a whole number of at least 1, but it is {epochs!r}.")
        for name, share in (("chance", MIN_CHANCE if chance is None else chance), ("audit", audit)):
            if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
                raise ArgumentError(f"{name} must be a share between 0 and 1, but it is {share!r}.")
        require("seed", seed, int, "a whole number")
        self._epochs, self._audit, self._seed = epochs, audit, seed
        self._chance, self._fold_chance = (MIN_CHANCE, FOLD_CHANCE) if chance is None else (chance, chance)
        self._ended: dict[tuple[str, int], Peer | None] = {}  # of trials that have ended, by study and number
        self.shadows: dict[int, dict[str, Any]] = {}
        self.reasons: dict[int, str] = {}

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Whether to prune the trial, given what it has reported so far."""
        return self.verdict(study, trial).prune

    def may_prune(self, epoch: int) -> bool:
        """Whether a trial may be pruned after this epoch; before the first such one, the other trials are not read."""
        return epoch >= warm_up(self._epochs)

    def verdict(self, study: Study, trial: FrozenTrial, peers: Sequence[Peer] | None = None) -> PruningDecision:
        """The same with the reason, which is stored in the trial if it is pruned.

        ``peers`` are the other trials of the study, if the caller has just read them.
        """
        own = _series(trial, _sign(study))
        if not own or len(own) >= self._epochs:
            return PruningDecision(False, "no epochs are left to save")
        if peers is None:
            peers = self.peers(study, trial, study.get_trials(deepcopy=False, states=PEER_STATES))
        found = decide(own, peers, self._epochs, self._chance)
        return self._unless_exempt(trial, found, len(own))

    def verdict_on_folds(self, study: Study, trial: FrozenTrial, trials: list[FrozenTrial]) -> PruningDecision:
        """The decision between two folds, by `regstudy.search.fold_rule.decide_on_folds`."""
        sign = _sign(study)
        own, peers = _fold_values(trial, sign), []
        for other in trials:
            if other.state == TrialState.COMPLETE and other.user_attrs.get(attributes.OUTCOME) != "diverged":
                peers.append(_fold_values(other, sign))
        most = max(map(len, peers), default=0)
        found = decide_on_folds(own, [values for values in peers if len(values) == most], self._fold_chance)
        rows = (fact(trial, attributes.EPOCHS) or {}).get("rows", ())
        return self._unless_exempt(trial, found, len(rows))

    def _unless_exempt(self, trial: FrozenTrial, found: PruningDecision, epochs: int) -> PruningDecision:
        """The decision; for an exempt trial that would be pruned now, after ``epochs``, it is only recorded."""
        if not found.prune:
            return found
        if self.exempt(trial):
            self.shadows.setdefault(trial.number, {"epoch": epochs, "reason": found.reason})
            return PruningDecision(False, f"exempt from pruning for the audit; otherwise pruned: {found.reason}")
        self.reasons[trial.number] = found.reason
        return found

    def exempt(self, trial: FrozenTrial) -> bool:
        """Whether a trial is exempt for the audit; the same for all attempts at a slot."""
        number = fact(trial, attributes.SLOT, trial.number)
        return bool(np.random.default_rng([self._seed, number]).random() < self._audit)

    def peers(self, study: Study, trial: FrozenTrial, trials: Sequence[FrozenTrial]) -> list[Peer]:
        """All other informative ones among the trials of a study; ended ones are read once."""
        peers, sign = [], _sign(study)
        for other in trials:
            if other.number == trial.number or other.state not in PEER_STATES:
                continue
            known = (study.study_name, other.number)
            if known not in self._ended:
                peer = _peer(other, sign)
                if other.state != TrialState.RUNNING:
                    self._ended[known] = peer
            else:
                peer = self._ended[known]
            if peer is not None:
                peers.append(peer)
        return peers


def make_pruner(plan: Plan, name: PrunerName = "signal", seed: int = 0) -> BasePruner:
    """The pruner with this name; a fixed plan is never pruned."""
    if not plan.adaptive or name == "none":
        return NopPruner()
    epochs = plan.planned_epochs
    if name == "median":
        return MedianPruner(MIN_FULL_RUNS, math.ceil(WARM_UP_SHARE * epochs), n_min_trials=MIN_PEERS)
    if name == "hyperband":
        return HyperbandPruner(
            min_resource=max(1, round(HYPERBAND_FIRST * epochs)),
            max_resource=epochs,
            reduction_factor=HYPERBAND_REDUCTION,
        )
    return SignalPruner(epochs, seed=seed)


class Judge:
    """Decides after an epoch of a trial, or between two folds, whether to prune it, and keeps the reason with it.

    The other trials are read when the trial may first be pruned, and then again as often as that takes little of the
    time: reading them is most of what a worker does for an epoch.
    """

    def __init__(self, trial: Trial) -> None:
        self._trial = trial
        self._reading = TimeShare(READING_SHARE)
        self._own: FrozenTrial | None = None  # as it was read last, with the others
        self._peers: list[Peer] = []

    @property
    def asks_storage(self) -> bool:
        """Whether a decision needs the trial's values in the storage; they are given to `SignalPruner`."""
        return not isinstance(self._trial.study.pruner, SignalPruner)

    def after_epoch(self, values: Mapping[int, float]) -> PruningDecision:
        """The decision about the trial after the last epoch of ``values``, its finite values by epoch."""
        study, pruner, epoch = self._trial.study, self._trial.study.pruner, max(values)
        if not isinstance(pruner, SignalPruner):
            prune = self._trial.should_prune()
            return PruningDecision(
                prune, f"{type(pruner).__name__} {'pruned' if prune else 'kept'} it at epoch {epoch}"
            )
        if not pruner.may_prune(epoch):
            return PruningDecision(False, f"nothing is pruned at epoch {epoch} yet")
        if self._own is None or self._reading.due:
            with self._reading.measured():
                trials = study.get_trials(deepcopy=False)
            self._own = copy(trials[self._trial.number])
            self._peers = pruner.peers(study, self._own, trials)
        self._own.intermediate_values = dict(values)
        return self._kept(pruner, pruner.verdict(study, self._own, self._peers))

    def between_folds(self) -> PruningDecision:
        """The decision once a fold has ended and is stored; only `SignalPruner` prunes between folds."""
        study, pruner = self._trial.study, self._trial.study.pruner
        if not isinstance(pruner, SignalPruner):
            return PruningDecision(False, f"{type(pruner).__name__} does not prune between folds")
        trials = study.get_trials(deepcopy=False)
        return self._kept(pruner, pruner.verdict_on_folds(study, trials[self._trial.number], trials))

    def _kept(self, pruner: SignalPruner, decision: PruningDecision) -> PruningDecision:
        """The decision, once its reason is stored with the trial."""
        shadow = pruner.shadows.get(self._trial.number)
        if shadow is not None and attributes.SHADOW not in self._trial.user_attrs:
            self._trial.set_user_attr(attributes.SHADOW, shadow)
        if decision.prune:
            self._trial.set_user_attr(attributes.REASON, decision.reason)
        return decision


def _sign(study: Study) -> float:
    """What values are multiplied by so that larger is better."""
    return 1.0 if study.direction == StudyDirection.MAXIMIZE else -1.0


def _series(trial: FrozenTrial, sign: float) -> list[float]:
    """A trial's finite reported values in order of steps; larger is better."""
    return [sign * value for _, value in sorted(trial.intermediate_values.items()) if math.isfinite(value)]


def _fold_values(trial: FrozenTrial, sign: float) -> list[float]:
    """The best values of a trial's folds; larger is better."""
    return [sign * one["best_value"] for one in fact(trial, attributes.FOLDS, ()) if one["best_epoch"]]


def _peer(trial: FrozenTrial, sign: float) -> Peer | None:
    """A trial as a peer; None if it diverged or reported nothing."""
    values = _series(trial, sign)
    if not values or trial.user_attrs.get(attributes.OUTCOME) == "diverged":
        return None
    return Peer(values, trial.state == TrialState.COMPLETE)
