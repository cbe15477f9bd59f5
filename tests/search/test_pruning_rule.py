from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regstudy.search.pruning_rule import LOOKBACK_SHARES, MIN_FULL_RUNS, Peer, decide, features, forecast_gain, warm_up

EPOCHS = 40


def curve(end: float, pace: float, epochs: int = EPOCHS) -> list[float]:
    """Rises to ``end``; ``pace`` epochs take it to 63 % of that."""
    return [end * (1 - math.exp(-epoch / pace)) for epoch in range(1, epochs + 1)]


def crowd(seed: int = 0, count: int = 20) -> list[Peer]:
    """Full runs of which slow ones end higher, as strong regularization does."""
    rng = np.random.default_rng(seed)
    paces = rng.uniform(2, 16, count)
    return [Peer(curve(0.5 + 0.02 * pace + rng.normal(0, 0.01), pace), full=True) for pace in paces]


@pytest.mark.parametrize(
    ("own", "peers", "cut"),
    [
        pytest.param(curve(0.3, 3)[:12], crowd(), True, id="low and saturated"),
        pytest.param(curve(0.85, 15)[:12], crowd(), False, id="low but gaining as slow starters do"),
        pytest.param(curve(0.9, 3)[:12], crowd(), False, id="ahead"),
        pytest.param([0.1] * 12, crowd(), True, id="never learnt"),
        pytest.param([0.1] * (warm_up(EPOCHS) - 1), crowd(), False, id="in the warm-up"),
        pytest.param([0.1] * 12, crowd()[: MIN_FULL_RUNS - 1], False, id="too few full runs"),
        pytest.param([0.1] * 12, [Peer(p.values[:20], full=False) for p in crowd()], False, id="no full run at all"),
        pytest.param([0.1] * 12, [], False, id="alone"),
        pytest.param([0.5] * 12, [Peer([0.5] * EPOCHS, full=True)] * 20, False, id="all equal"),
    ],
)
def test_who_is_cut(own: list[float], peers: list[Peer], cut: bool) -> None:
    verdict = decide(own, peers, EPOCHS)
    assert verdict.prune is cut, verdict.reason
    assert verdict.reason


def test_a_larger_chance_cuts_no_less() -> None:
    peers = crowd(1)
    for pace in (3, 6, 9, 12):
        cuts = [decide(curve(0.6, pace)[:12], peers, EPOCHS, chance).prune for chance in (0.0, 0.05, 0.2, 0.5, 1.0)]
        assert cuts == sorted(cuts)


def test_a_reason_names_epoch_peers_and_chance() -> None:
    reason = decide([0.1] * 12, crowd(), EPOCHS).reason
    assert "epoch 12" in reason and "20 runs" in reason and "chance" in reason


@settings(max_examples=60)
@given(
    scale=st.floats(1e-3, 1e3),
    shift=st.floats(-100, 100),
    end=st.floats(0.2, 0.9),
    pace=st.floats(2, 16),
    epoch=st.integers(8, 30),
)
def test_units_do_not_matter(scale: float, shift: float, end: float, pace: float, epoch: int) -> None:
    own, peers = curve(end, pace)[:epoch], crowd(2)
    moved = [Peer([scale * v + shift for v in peer.values], peer.full) for peer in peers]
    before, after = decide(own, peers, EPOCHS), decide([scale * v + shift for v in own], moved, EPOCHS)
    assert before.prune == after.prune or "10%" in before.reason or "9%" in before.reason


@settings(max_examples=60)
@given(st.lists(st.lists(st.floats(0, 1), min_size=1, max_size=12), max_size=30), st.lists(st.floats(0, 1), min_size=1))
def test_any_curves_give_a_verdict(peers: list[list[float]], own: list[float]) -> None:
    decide(own, [Peer(values, full=len(values) > 6) for values in peers], EPOCHS)


def test_gains_are_taken_over_an_eighth_a_third_and_a_half_of_the_epochs() -> None:
    rising = Peer([float(v) for v in range(24)], True)
    assert features([rising.best], 24).tolist() == [[23.0, 3.0, 8.0, 12.0]]
    early = Peer([5.0, 1.0, 2.0], True)
    assert features([early.best], 3).tolist() == [[5.0, 0.0, 0.0, 0.0]]  # the best so far, not the last


@given(st.lists(st.lists(st.floats(0, 1), min_size=1, max_size=12), min_size=1, max_size=8), st.integers(1, 15))
def test_runs_of_all_lengths_are_seen_up_to_the_epoch_or_their_end(runs: list[list[float]], epoch: int) -> None:
    known = features([Peer(values, True).best for values in runs], epoch)
    for row, values in zip(known, runs, strict=True):
        seen = values[:epoch]
        backs = [max(1, round(share * epoch)) for share in LOOKBACK_SHARES]
        befores = [max(seen[: max(1, len(seen) - back)]) for back in backs]
        assert row.tolist() == [max(seen), *(max(seen) - before for before in befores)]
        assert Peer(values, True).best_at(epoch) == max(seen)


def test_the_forecast_finds_a_linear_rule_and_its_error_shrinks_with_more_runs() -> None:
    rng = np.random.default_rng(0)

    def error(count: int, noise: float) -> tuple[float, float]:
        known = rng.uniform(0, 1, (count, 4))
        gains = 0.3 * known[:, 1] + noise * rng.normal(size=count)
        own = np.array([0.5, 0.9, 0.5, 0.5])
        forecast, spread = forecast_gain(known, gains, own)
        return abs(forecast - 0.27), spread

    assert error(2000, 0.0)[0] < 0.02  # the ridge shrinks slopes until there are many runs
    assert error(200, 0.05)[1] == pytest.approx(0.05, rel=0.3)
    assert error(200, 0.001)[1] < error(200, 0.05)[1]
