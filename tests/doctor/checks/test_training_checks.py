"""First steps: what loss and gradients say, and the rule that judges a learning rate, all without changing anything."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest
import torch
from planted import alarms, convolutional, digits, mlp, noise, setup, severities, state, ticking
from torch import Tensor, nn

from regstudy.doctor.checks.training_checks import LR_FACTORS, first_batch, judged, learning_rate
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


# The first batch


def scaled(model: nn.Module, factor: float) -> nn.Module:
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            module.weight.data *= factor
    return model


def deep(layers: int, factor: float = 1.0, width: int = 24) -> nn.Module:
    torch.manual_seed(0)
    middle = [one for _ in range(layers) for one in (nn.Linear(width, width), nn.Sigmoid())]
    return scaled(
        nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.Sigmoid(), *middle, nn.Linear(width, 10)), factor
    )


def with_dead(share: float) -> nn.Module:
    model = mlp(64, 10)
    model[1].bias.data[: round(share * 32)] = -50.0
    return model


class Detached(nn.Module):
    """The first layer is cut off from the loss."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(64, 32), nn.Linear(32, 10)

    def forward(self, images: Tensor) -> Tensor:
        return self.last(self.first(images.flatten(1)).relu().detach())


class Unused(nn.Module):
    """A layer is never called."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.unused = nn.Linear(64, 10), nn.Linear(64, 30)

    def forward(self, images: Tensor) -> Tensor:
        return self.used(images.flatten(1))


class ZeroBranches(nn.Module):
    """Residual branches start at zero, as in many networks, so that their weights get no gradient in the first step."""

    def __init__(self, learns: bool = True) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(64, 64), nn.Linear(64, 10)
        self.branch = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.LayerNorm(64))
        nn.init.zeros_(self.branch[3].weight)
        self.branch[3].weight.requires_grad_(learns)

    def forward(self, images: Tensor) -> Tensor:
        x = self.first(images.flatten(1))
        return self.last(x + self.branch(x))


def sure(factor: float) -> nn.Module:
    model = mlp(64, 10)
    model[4].weight.data *= factor
    return model


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (lambda: mlp(64, 10), {}),
        (lambda: mlp(64, 10, dropout=0.5), {}),
        (lambda: convolutional(), {}),
        (lambda: sure(25), {"initial-loss": "distorts"}),
        (lambda: sure(500), {"initial-loss": "blocks"}),
        (lambda: with_dead(0.6), {"dead-units": "distorts"}),
        (lambda: with_dead(0.95), {"dead-units": "blocks"}),
        (lambda: with_dead(1.0), {"no-gradient": "blocks"}),
        (lambda: Detached(), {"no-gradient": "blocks"}),
        (lambda: Unused(), {"no-gradient": "blocks"}),
        (lambda: ZeroBranches(), {}),
        (lambda: ZeroBranches(learns=False), {"no-gradient": "blocks"}),
        (lambda: deep(10, 0.5), {"vanishing-gradients": "distorts"}),
    ],
    ids=[
        *("sound", "dropout", "batch norm", "sure", "very sure", "many dead", "most dead", "all dead", "detached"),
        *("never called", "branches from zero", "branches that stay zero", "deep sigmoids"),
    ],
)
def test_faults_show_in_the_first_batch(model: Callable[[], nn.Module], expected: dict[str, str]) -> None:
    torch.manual_seed(0)
    assert severities(first_batch(setup(model()), INPUTS, LABELS)) == expected


@pytest.mark.parametrize("factor", [1e5, 1e15])
def test_exploding_gradients_come_before_all_else(factor: float) -> None:
    result = first_batch(setup(scaled(mlp(64, 10), factor)), INPUTS, LABELS)
    assert result.findings[0].id == "exploding-gradients" and result.findings[0].severity == "blocks"


@pytest.mark.parametrize(
    ("inputs", "finding"),
    [
        (INPUTS * math.nan, "not-a-number"),
        (INPUTS / 0, "not-a-number"),
        (INPUTS * 1e6, "exploding-gradients"),
    ],
    ids=["NaN", "infinite", "large"],
)
def test_nan_is_no_exploding_gradient(inputs: Tensor, finding: str) -> None:
    result = first_batch(setup(mlp(64, 10)), inputs, LABELS)
    assert severities(result)[finding] == "blocks"
    assert len({"not-a-number", "exploding-gradients"} & severities(result).keys()) == 1


def test_the_first_batch_is_put_into_numbers() -> None:
    result = first_batch(setup(mlp(64, 10)), INPUTS, LABELS)
    assert "chance: ln 10 = 2.30" in result.examined
    (chart,) = result.media
    assert isinstance(chart, Chart) and chart.series["gradient"][0] == ("1", "4")
    assert all(0 < value < 10 for _, values in chart.series.values() for value in values)


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


class Loud(nn.Module):
    """Scores that are alike for all classes, so that the loss is that of guessing, but large."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 10)
        self.layer.weight.data[:] = self.layer.weight.data[:1].clone() * 30

    def forward(self, images: Tensor) -> Tensor:
        return self.layer(images.flatten(1))


def test_scores_that_spread_far_are_told_though_the_loss_is_that_of_guessing() -> None:
    result = first_batch(setup(Loud()), INPUTS, LABELS)
    assert "initial-loss" in severities(result)
    assert abs(float(result.examined.split("loss is ")[1].split()[0]) - math.log(10)) < 0.5


@pytest.mark.parametrize(("by_heart", "found"), [(0.1, {}), (2.3, {"cannot-learn": "blocks"})])
def test_a_slow_start_is_told_from_inability_by_one_batch(
    by_heart: float, found: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def trained(_: Setup, __: Tensor, labels: Tensor, *how: int) -> list[float]:
        _, steps, size = how
        return [by_heart if len(labels) == size and steps > size else 2.3] * steps

    monkeypatch.setattr("regstudy.doctor.checks.training_checks.train", trained)
    assert severities(learning_rate(setup(mlp(64, 10)), INPUTS, LABELS)) == found
