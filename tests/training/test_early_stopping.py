"""The stopping rule as tables, against an oracle written from the rule's words, and proof that a run really stops."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import CPU, make_config, make_splits

from regstudy.training.early_stopping import EarlyStopping, Signal, StoppingRule
from regstudy.training.run import run

NAN, INF = math.nan, math.inf
Reference = Literal["accepted", "minimum"]


def stopping_rule(**settings: Any) -> StoppingRule:
    return StoppingRule(**{"maximize": False, "epochs": 10, "patience": 2, **settings})


def stop_epoch(signals: Sequence[Signal]) -> int | None:
    return next((signal.epoch for signal in signals if signal.stop), None)


STOPS = {
    "no epoch yet": ({}, [], None),
    "always better": ({}, [3, 2, 1, 0], None),
    "patience counts epochs without a gain": ({}, [3, 4, 4], 3),
    "one epoch less is not enough": ({}, [3, 4], None),
    "a gain resets the counter": ({}, [3, 4, 2, 3, 1, 2, 2], 7),
    "equal is not better": ({}, [3, 3, 3], 3),
    "patience of one": ({"patience": 1}, [3, 2, 2], 3),
    "no patience set never stops": ({"patience": None}, [3] * 50, None),
    "a gain of exactly the tolerance is none": ({"tolerance": 1}, [3, 2, 2], 3),
    "a gain above the tolerance counts": ({"tolerance": 1}, [3, 1.5, 2, 2], 4),
    "many small gains never move the reference": ({"tolerance": 1, "patience": 4}, [9, 8.75, 8.5, 8.25, 8], 5),
    "small gains that add up are accepted": ({"tolerance": 1, "patience": 4}, [9, 8.75, 8.5, 8.25, 7.9], None),
    "unless the reference is the minimum": (
        {"tolerance": 1, "patience": 4, "reference": "minimum"},
        [9, 8.75, 8.5, 8.25, 7.9],
        5,
    ),
    "the minimum moves below the tolerance": (
        {"tolerance": 1, "patience": 3, "reference": "minimum"},
        [9, 8.5, 7.75, 7],
        4,
    ),
    "where the accepted value does not": ({"tolerance": 1, "patience": 3}, [9, 8.5, 7.75, 7], None),
    "accepted after a worse stretch": ({"tolerance": 1, "patience": 3}, [9, 10, 10, 7, 8, 8, 8], 7),
    "maximise": ({"maximize": True}, [1, 2, 2, 1], 4),
    "maximise with tolerance": ({"maximize": True, "tolerance": 1}, [1, 2, 2], 3),
    "nan is no gain": ({}, [3, NAN, NAN], 3),
    "nan from the start": ({}, [NAN, NAN], 2),
    "nan first, then the first number is a gain": ({}, [NAN, 5, 6, 6], 4),
    "minus infinity is no gain": ({}, [3, -INF, 2], None),
    "minus infinity twice stops": ({}, [3, -INF, -INF], 3),
    "infinity is no gain when maximising": ({"maximize": True}, [3, INF, INF], 3),
}


@pytest.mark.parametrize("name", STOPS)
def test_the_rule_stops_where_its_words_say(name: str) -> None:
    settings, series, expected = STOPS[name]
    assert stop_epoch(stopping_rule(**settings).signals(series)) == expected


def test_a_signal_says_all_that_is_known() -> None:
    rule = stopping_rule(maximize=True, epochs=4, patience=3)
    signals = rule.signals([0.5, 0.75, NAN, 0.25], gaps=[0.0, 0.125, 0.25, 0.5])
    assert signals == [
        Signal(1, 0.5, 1, 0, 3, True, 0.0, True, 0.25),
        Signal(2, 0.75, 2, 0, 3, True, 0.125, True, 0.5),
        Signal(3, 0.75, 2, 1, 2, False, 0.25, False, 0.75),
        Signal(4, 0.75, 2, 2, 1, False, 0.5, True, 1.0),
    ]


@pytest.mark.parametrize(("maximize", "worst"), [(False, INF), (True, -INF)])
def test_before_any_finite_value_there_is_no_best_epoch(maximize: bool, worst: float) -> None:
    (signal,) = stopping_rule(maximize=maximize, patience=None).signals([NAN])
    assert (signal.best, signal.best_epoch, signal.epochs_since_best) == (worst, 0, 1)
    assert signal.patience_left is None and not signal.improving and math.isnan(signal.gap)


def test_the_best_follows_gains_that_the_tolerance_hides() -> None:
    signal = stopping_rule(tolerance=1).signals([3, 2.5])[-1]
    assert (signal.best, signal.best_epoch, signal.improving, signal.patience_left) == (2.5, 2, False, 1)


def accepted_epochs(losses: list[float], tolerance: float, reference: Reference) -> list[int]:
    """Epochs that the rule accepts, from its words: each compared with what came before it."""
    accepted: list[int] = []
    for epoch, loss in enumerate(losses, start=1):
        earlier = losses[: epoch - 1]
        known = [earlier[accepted[-1] - 1]] if accepted and reference == "accepted" else earlier
        usable = [value for value in known if math.isfinite(value)]
        if math.isfinite(loss) and (not usable or loss < min(usable) - tolerance):
            accepted.append(epoch)
    return accepted


VALUE = st.one_of(st.integers(-8, 8).map(lambda quarter: quarter / 4), st.sampled_from([NAN, INF, -INF]))


@given(
    series=st.lists(VALUE, min_size=1, max_size=12),
    patience=st.integers(1, 4),
    tolerance=st.sampled_from([0.0, 0.25, 0.5, 1.0]),
    reference=st.sampled_from(["accepted", "minimum"]),
    maximize=st.booleans(),
)
def test_the_rule_agrees_with_an_oracle(
    series: list[float], patience: int, tolerance: float, reference: Reference, maximize: bool
) -> None:
    rule = StoppingRule(maximize, len(series), patience, tolerance, reference)
    signals = rule.signals(series)
    losses = [-value if maximize else value for value in series]
    accepted = accepted_epochs(losses, tolerance, reference)
    assert [signal.epoch for signal in signals if signal.improving] == accepted
    for signal in signals:
        last = max((epoch for epoch in accepted if epoch <= signal.epoch), default=0)
        assert signal.stop is (signal.epoch - last >= patience)
        finite = [loss for loss in losses[: signal.epoch] if math.isfinite(loss)]
        if finite:
            assert signal.best == (-min(finite) if maximize else min(finite))
            assert signal.best_epoch == 1 + losses.index(min(finite))
        assert signal.epochs_since_best == signal.epoch - signal.best_epoch


@given(series=st.lists(VALUE, min_size=1, max_size=8), cut=st.integers(0, 8))
def test_what_comes_later_does_not_change_a_signal(series: list[float], cut: int) -> None:
    rule = stopping_rule(tolerance=0.25)
    gaps = [0.0] * len(series)
    assert rule.signals(series[:cut], gaps[:cut]) == rule.signals(series, gaps)[:cut]


@pytest.mark.parametrize("monitor", ["val_loss", "val_accuracy"])
def test_a_run_whose_validation_cannot_improve_really_stops(monitor: str) -> None:
    splits = make_splits(train=48, validation=24, learnable=True)
    shuffled = splits.validation.labels[torch.randperm(24, generator=torch.Generator().manual_seed(3))]
    splits = replace(splits, validation=replace(splits.validation, labels=shuffled))
    config = make_config({"training.epochs": 60, "training.patience": 4, "training.monitor": monitor})
    trained = run(config, splits, CPU)
    series = [getattr(record, monitor) for record in trained.result.records]
    rule = StoppingRule(monitor == "val_accuracy", 60, 4, config.training.tolerance)
    assert trained.result.outcome == "stopped"
    assert len(series) < 60
    assert stop_epoch(rule.signals(series)) == len(series)
    assert monitor in trained.result.reason and f"epoch {len(series)}" in trained.result.reason


@pytest.mark.parametrize(("grace", "stops"), [(0, 4), (1, 4), (3, 6), (5, 8)])
def test_patience_does_not_run_in_the_grace(grace: int, stops: int) -> None:
    rule = StoppingRule(maximize=False, epochs=20, patience=3, grace=grace)
    signals = rule.signals([1.0] * 12)
    assert next(signal.epoch for signal in signals if signal.stop) == stops


def test_a_gain_within_the_grace_counts() -> None:
    rule = StoppingRule(maximize=False, epochs=20, patience=2, grace=3)
    signals = rule.signals([1.0, 0.5, 0.6, 0.6, 0.6, 0.6])
    assert (signals[1].improving, signals[3].patience_left, signals[4].stop) == (True, 1, True)


@given(
    values=st.lists(st.floats(0, 1) | st.just(math.nan), min_size=1, max_size=20),
    patience=st.integers(1, 5),
    maximize=st.booleans(),
    grace=st.integers(0, 5),
)
def test_early_stopping_gives_the_signals_of_the_rule(
    values: list[float], patience: int, maximize: bool, grace: int
) -> None:
    stopping = EarlyStopping(patience, maximize=maximize, tolerance=0.01, grace=grace, epochs=20)
    rule = StoppingRule(maximize, 20, patience, 0.01, grace=grace)
    found = [stopping.update(value) for value in values]
    wanted = rule.signals(values, [math.nan] * len(values))
    assert repr(found) == repr(wanted)  # NaN is not equal to itself


def test_without_planned_epochs_there_is_no_share_of_them() -> None:
    assert math.isnan(EarlyStopping(2).update(0.5).budget_fraction)
