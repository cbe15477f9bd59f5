"""The rule that judges a learning rate, and the short training runs that it rests on."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from planted import alarms, convolutional, digits, mlp, noise, setup, severities, state, ticking
from torch import Tensor, nn

from regstudy.doctor.checks.first_batch import first_batch
from regstudy.doctor.checks.learning_rate_check import LR_FACTORS, judged, learning_rate
from regstudy.doctor.findings import Chart
from regstudy.doctor.setup import Setup, descend, quiet

PIXELS, LABELS = digits(256, size=8)
INPUTS = PIXELS.float() / 127.5 - 1


# The rule

INF = math.inf
ROWS: list[tuple[str, Sequence[float], str | None, str]] = [
    #  losses that began at 2.3, at 0.001, 0.01, 0.1, 1, 10, 100 and 1000 times the rate
    ("learns", (2.3, 2.2, 1.5, 0.3, 2.0, INF, INF), None, ""),
    ("learns, ten times is better", (2.3, 2.3, 2.2, 1.0, 0.2, 2.4, INF), None, ""),
    ("learns, a tenth is better", (2.3, 1.9, 0.2, 1.2, INF, INF, INF), None, ""),
    ("hardly moves", (2.3, 2.3, 2.3, 2.29, 2.2, 0.4, INF), "blocks", "lr-too-small"),
    ("hardly moves by far", (2.3, 2.3, 2.3, 2.3, 2.3, 2.2, 0.3), "blocks", "lr-too-small"),
    ("ten times is better and needed", (2.3, 2.3, 2.3, 2.25, 0.3, INF, INF), None, ""),
    ("diverges", (2.2, 0.5, 0.6, INF, INF, INF, INF), "blocks", "lr-too-large"),
    ("collapses to guessing", (0.4, 0.6, 2.3, 2.31, INF, INF, INF), "blocks", "lr-too-large"),
    ("a tenth would learn", (2.2, 1.5, 0.4, 2.4, INF, INF, INF), "distorts", "lr-too-large"),
    ("no rate learns", (2.3, 2.3, 2.3, 2.3, 2.3, 2.3, INF), "blocks", "cannot-learn"),
    ("all diverge", (INF,) * 7, "blocks", "cannot-learn"),
]


@pytest.mark.parametrize(("ends", "severity", "name"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_the_rule(ends: Sequence[float], severity: str | None, name: str) -> None:
    result = judged(0.01, LR_FACTORS, ends, 2.3, 60)
    assert severities(result) == ({name: severity} if severity else {})


@pytest.mark.parametrize("configured", [True, False])
@pytest.mark.parametrize(("ends", "better"), [(ROWS[3][1], 1.0), (ROWS[6][1], 0.0001)])
def test_the_better_rate_is_written_where_a_configuration_decides(
    ends: Sequence[float], better: float, configured: bool
) -> None:
    finding = judged(0.01, LR_FACTORS, ends, 2.3, 60, configured).findings[0]
    assert dict(finding.changes) == ({"optimizer.lr": pytest.approx(better)} if configured else {})
    assert f"to about {better:.2g}" in finding.advice and len(finding.evidence) == 2


@pytest.mark.parametrize(
    ("factors", "ends", "name"),
    [
        ((0.1, 1.0, 10.0), (1.5, 0.5, 2.0), None),
        ((1.0,), (0.5,), None),
        ((0.01, 1.0, 100.0), (2.3, 2.3, 0.2), "lr-too-small"),
        ((0.01, 1.0, 100.0), (0.2, INF, INF), "lr-too-large"),
    ],
)
def test_the_rule_holds_where_fewer_rates_were_tried(
    factors: Sequence[float], ends: Sequence[float], name: str | None
) -> None:
    assert list(severities(judged(0.01, factors, ends, 2.3, 20))) == ([name] if name else [])


# Tried on networks


@pytest.mark.parametrize(
    ("lr", "found"),
    [(1e-3, []), (5e-3, []), (1e-7, ["lr-too-small"]), (1e-6, ["lr-too-small"]), (10.0, ["lr-too-large"])],
)
def test_learning_rates_that_are_tried(lr: float, found: list[str]) -> None:
    result = learning_rate(setup(mlp(64, 10), lr), INPUTS, LABELS)
    assert list(alarms(result)) == found
    (chart,) = result.media
    assert isinstance(chart, Chart) and chart.log_x
    rates, losses = chart.series["after training"]
    assert lr in [pytest.approx(rate) for rate in rates] and all(math.isfinite(loss) for loss in losses)


@pytest.mark.parametrize(("thorough", "count"), [(False, 3), (True, 7)])
def test_where_the_rate_learns_only_its_neighbours_are_tried(thorough: bool, count: int) -> None:
    (chart,) = learning_rate(setup(mlp(64, 10), 5e-3), INPUTS, LABELS, thorough=thorough).media
    assert isinstance(chart, Chart) and len(chart.series["before training"][0]) == count


class Deaf(nn.Module):
    """Answers the same whatever it is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(64, 10)

    def forward(self, images: Tensor) -> Tensor:
        return 0 * self.inner(images.flatten(1))


def test_a_network_that_cannot_learn() -> None:
    assert severities(learning_rate(setup(Deaf()), INPUTS, LABELS)) == {"cannot-learn": "blocks"}


@pytest.mark.parametrize(("seconds", "tried"), [(0.05, 7), (0.5, 3), (1.2, 0)])
def test_slow_networks_get_fewer_learning_rates_or_none(seconds: float, tried: int) -> None:
    """At so many seconds per step, of which the clock says that they went by."""
    steps = len(INPUTS) // 64
    result = learning_rate(setup(mlp(64, 10), 1e-7, 64), INPUTS, LABELS, clock=ticking(seconds * steps))
    assert len(result.media) == (tried > 0) and result.examined.startswith("Skipped") is (not tried)
    for chart in result.media:
        assert isinstance(chart, Chart) and len(chart.series["before training"][0]) == tried


@pytest.mark.parametrize(("by_heart", "found"), [(0.1, {}), (2.3, {"cannot-learn": "blocks"})])
def test_a_slow_start_is_told_from_inability_by_one_batch(
    by_heart: float, found: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def trained(_: Setup, __: Tensor, labels: Tensor, *how: int) -> list[float]:
        _, steps, size = how
        return [by_heart if len(labels) == size and steps > size else 2.3] * steps

    monkeypatch.setattr("regstudy.doctor.checks.learning_rate_check.train", trained)
    assert severities(learning_rate(setup(mlp(64, 10)), INPUTS, LABELS)) == found


# Nothing is changed


@pytest.mark.parametrize("training", [True, False])
def test_trying_changes_nothing(training: bool) -> None:
    model = convolutional().train(training)
    model[1].eval()
    examined = setup(model)
    examined.loss(model(INPUTS[:8]), LABELS[:8]).backward()
    examined.optimizer.step()
    examined.optimizer.zero_grad()
    before = state(model, examined.optimizer)
    first_batch(examined, INPUTS, LABELS)
    learning_rate(examined, INPUTS[:64], LABELS[:64])
    assert state(model, examined.optimizer) == before


def test_dropout_is_silent_while_things_are_tried_and_as_before_afterwards() -> None:
    model = mlp(64, 10, dropout=0.5).eval()
    model[1].train()
    before = state(model)
    with quiet(model) as tried:
        assert tried.training and not tried[3].training  # type: ignore[index]
        assert torch.equal(tried(INPUTS), tried(INPUTS))
        torch.rand(3)
    assert state(model) == before
    with pytest.raises(ValueError, match="planted"), quiet(model):
        raise ValueError("planted")
    assert state(model) == before


@pytest.mark.parametrize(("count", "size", "steps"), [(10, 3, 9), (10, 4, 1), (7, 3, 5), (2, 2, 3)])
def test_descending_takes_so_many_steps_and_never_a_batch_of_one(count: int, size: int, steps: int) -> None:
    sizes: list[int] = []

    def loss(scores: Tensor, labels: Tensor) -> Tensor:
        sizes.append(len(labels))
        return nn.functional.cross_entropy(scores, labels)

    model = mlp(64, 10)
    one = Setup(model, torch.optim.SGD(model.parameters(), lr=0.1), size, loss)
    losses = list(descend(one, *one.copied(), noise(count, 1, 8, 8), torch.arange(count), steps, size))
    assert len(losses) == len(sizes) == steps and min(sizes) >= 2 and max(sizes) <= size
