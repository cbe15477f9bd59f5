"""Learning rates of every schedule against torch's own schedulers, and rules that hold for all of them."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from tiny import make_config
from torch import nn
from torch.optim import Optimizer, lr_scheduler

from regstudy.config.run_config import RunConfig
from regstudy.errors import ConfigError
from regstudy.records import EpochRecord
from regstudy.training.schedules import first_decay, learning_rate, learning_rates, problems

BASE = 0.3
EPOCHS = 12
STEPS = 5  # per epoch
PAGE = Path(__file__).parents[2] / "docs" / "schedules.md"


def rooted(epochs: float) -> float:
    return 1 / math.sqrt(1 + epochs)


def half(_epochs: float) -> float:
    return 0.5


def sinking(epochs: float) -> float:
    return 1 - epochs / 4


def scheduled(section: dict[str, Any], **training: Any) -> RunConfig:
    changes = {f"training.{name}": value for name, value in {"epochs": EPOCHS, **training}.items()}
    return make_config({"optimizer.lr": BASE, "schedule": section, **changes})


def records_of(values: list[float], series: str = "val_loss") -> list[EpochRecord]:
    zeros = dict.fromkeys(EpochRecord.__dataclass_fields__, 0.0)
    return [EpochRecord(**{**zeros, "epoch": epoch, series: value}) for epoch, value in enumerate(values, start=1)]


def rates(config: RunConfig, values: list[float], series: str = "val_loss", steps: int = STEPS) -> list[float]:
    """The rate of every step of a run that measures these values."""
    records = records_of(values, series)
    return [rate for epoch in range(len(values)) for rate in learning_rates(config, records[:epoch], steps)]


# unit of the schedule in steps of torch's, epochs after the warm-up
Make = Callable[[Optimizer, int, int], Any]


def torch_rates(make: Make, values: list[float], warmup: int, interval: str) -> list[float]:
    """The same from torch: a linear warm-up, then the schedule, stepped once per batch or per epoch.

    A plateau scheduler takes values, so it is none of the sequence: it steps at the end of epochs after the warm-up.
    """
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=BASE)
    unit = STEPS if interval == "step" else 1
    rising = warmup * unit
    schedulers = [lr_scheduler.LinearLR(optimizer, 1 / (rising + 1), total_iters=rising)] if warmup else []
    main = make(optimizer, unit, EPOCHS - warmup)
    plateau = isinstance(main, lr_scheduler.ReduceLROnPlateau)
    schedulers.append(lr_scheduler.LambdaLR(optimizer, lambda _: 1.0) if plateau else main)
    timed = lr_scheduler.SequentialLR(optimizer, schedulers, [rising] if warmup else [])
    found = []
    for epoch, value in enumerate(values):
        for step in range(STEPS):
            found.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            if (interval == "step" or step == STEPS - 1) and not (plateau and epoch >= warmup):
                timed.step()
        if plateau and epoch >= warmup:
            main.step(value)
    return found


SCHEDULES: dict[str, tuple[dict[str, Any], Make]] = {
    "constant": ({"name": "constant"}, lambda o, _, __: lr_scheduler.LambdaLR(o, lambda _: 1.0)),
    "step": (
        {"name": "step", "step_size": 3, "gamma": 0.4},
        lambda o, unit, _: lr_scheduler.StepLR(o, 3 * unit, 0.4),
    ),
    "multi_step": (
        {"name": "multi_step", "milestones": [2, 3, 7], "gamma": 0.4},
        lambda o, unit, _: lr_scheduler.MultiStepLR(o, [2 * unit, 3 * unit, 7 * unit], 0.4),
    ),
    "exponential": (
        {"name": "exponential", "gamma": 0.8},
        lambda o, unit, _: lr_scheduler.ExponentialLR(o, 0.8 ** (1 / unit)),
    ),
    "linear": (
        {"name": "linear"},
        lambda o, unit, planned: lr_scheduler.LinearLR(o, 1.0, 0.0, planned * unit),
    ),
    "linear to a floor": (
        {"name": "linear", "final": 0.1},
        lambda o, unit, planned: lr_scheduler.LinearLR(o, 1.0, 0.1, planned * unit),
    ),
    "cosine": (
        {"name": "cosine"},
        lambda o, unit, planned: lr_scheduler.CosineAnnealingLR(o, planned * unit),
    ),
    "cosine to a floor": (
        {"name": "cosine", "final": 0.1},
        lambda o, unit, planned: lr_scheduler.CosineAnnealingLR(o, planned * unit, BASE * 0.1),
    ),
    "plateau": (
        {"name": "plateau", "factor": 0.5, "patience": 1},
        lambda o, _, __: lr_scheduler.ReduceLROnPlateau(
            o, factor=0.5, patience=1, threshold=0.25, threshold_mode="abs", eps=0
        ),
    ),
    "lambda": (
        {"name": "lambda", "function": "test_schedules:rooted"},
        lambda o, unit, _: lr_scheduler.LambdaLR(o, lambda steps: rooted(steps / unit)),
    ),
}
SECTIONS = [section for section, _ in SCHEDULES.values()]
BUMPY = [5.0, 4.0, 4.0, 3.9, 3.0, 3.0, 3.0, 3.0, 3.0, 2.0, 2.0, 2.0]


@pytest.mark.parametrize("interval", ["epoch", "step"])
@pytest.mark.parametrize("warmup", [0, 1, 4])
@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_gives_the_rates_of_torchs_own(name: str, warmup: int, interval: str) -> None:
    section, make = SCHEDULES[name]
    config = scheduled({**section, "warmup_epochs": warmup, "interval": interval}, tolerance=0.25)
    found = rates(config, BUMPY)
    assert len(found) == EPOCHS * STEPS
    assert found == pytest.approx(torch_rates(make, BUMPY, warmup, interval), rel=1e-11)


def test_the_table_holds_every_schedule_there_is() -> None:
    members = RunConfig.model_json_schema()["properties"]["schedule"]["discriminator"]["mapping"]
    assert {section["name"] for section in SECTIONS} == set(members)


@pytest.mark.parametrize(
    ("section", "warmup", "expected"),
    [
        ({"name": "constant"}, 0, [1, 1, 1, 1, 1]),
        ({"name": "constant"}, 3, [0.25, 0.5, 0.75, 1, 1]),
        ({"name": "step", "step_size": 2, "gamma": 0.1}, 1, [0.5, 1, 1, 0.1, 0.1, 0.01]),
        ({"name": "step", "step_size": 50}, 0, [1] * EPOCHS),
        ({"name": "multi_step", "milestones": [1, 3], "gamma": 0.1}, 1, [0.5, 1, 0.1, 0.1, 0.01]),
        ({"name": "exponential", "gamma": 0.5}, 2, [1 / 3, 2 / 3, 1, 0.5, 0.25]),
        ({"name": "linear", "final": 0.5}, 2, [1 / 3, 2 / 3, 1, 0.95, 0.9]),
        ({"name": "plateau", "factor": 0.1, "patience": 0}, 0, [1, 1, 1, 0.1]),
        ({"name": "lambda", "function": "test_schedules:rooted"}, 1, [0.5, 1, 0.5**0.5]),
        ({"name": "lambda", "function": "test_schedules:half"}, 2, [1 / 3, 2 / 3, 0.5, 0.5]),
    ],
)
def test_first_rates_in_plain_numbers(section: dict[str, Any], warmup: int, expected: list[float]) -> None:
    found = rates(scheduled({**section, "warmup_epochs": warmup}), BUMPY, steps=1)[: len(expected)]
    assert found == pytest.approx([BASE * factor for factor in expected])


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ({"name": "constant"}, [1 / 5, 2 / 5, 3 / 5, 4 / 5, 1, 1, 1, 1]),
        ({"name": "exponential", "gamma": 0.25}, [1 / 5, 2 / 5, 3 / 5, 4 / 5, 1, 0.5, 0.25, 0.125]),
        ({"name": "step", "step_size": 1, "gamma": 0.5}, [1 / 5, 2 / 5, 3 / 5, 4 / 5, 1, 1, 0.5, 0.5]),
    ],
)
def test_first_rates_of_two_warm_up_epochs_of_two_steps(section: dict[str, Any], expected: list[float]) -> None:
    found = rates(scheduled({**section, "warmup_epochs": 2, "interval": "step"}), BUMPY[:4], steps=2)
    assert found == pytest.approx([BASE * factor for factor in expected])


def test_rates_per_epoch_are_these_to_the_bit() -> None:
    """Curves of stored studies are repeated from their configurations, so the order of operations is fixed too."""
    values = [0.0] * 6
    step = {"name": "step", "step_size": 2, "gamma": 0.37}
    cosine = {"name": "cosine", "final": 0.1, "warmup_epochs": 2}
    share = (1 + math.cos(math.pi * 4 / 10)) / 2
    assert learning_rate(scheduled(step), values) == BASE * 0.37**3
    assert learning_rate(scheduled(cosine), values) == BASE * (0.1 + (1 - 0.1) * share)
    assert learning_rate(scheduled(cosine), values[:1]) == BASE * 2 / 3
    assert learning_rate(scheduled({"name": "plateau", "patience": 1}), values) == BASE * 0.1**2


@settings(max_examples=30)
@given(
    values=st.lists(st.integers(0, 12).map(lambda quarter: quarter / 4), min_size=EPOCHS, max_size=EPOCHS),
    patience=st.integers(0, 3),
    tolerance=st.sampled_from([0.0, 0.25, 0.5]),
    monitor=st.sampled_from(["val_loss", "val_accuracy"]),
    warmup=st.integers(0, 3),
)
def test_plateaus_are_counted_as_torch_counts_them(
    values: list[float], patience: int, tolerance: float, monitor: str, warmup: int
) -> None:
    config = scheduled(
        {"name": "plateau", "factor": 0.5, "patience": patience, "warmup_epochs": warmup},
        tolerance=tolerance,
        monitor=monitor,
    )

    def make(optimizer: Optimizer, _unit: int, _planned: int) -> lr_scheduler.ReduceLROnPlateau:
        mode = "max" if monitor == "val_accuracy" else "min"
        return lr_scheduler.ReduceLROnPlateau(
            optimizer, mode, 0.5, patience, threshold=tolerance, threshold_mode="abs", eps=0
        )

    assert rates(config, values, monitor) == pytest.approx(torch_rates(make, values, warmup, "epoch"), rel=1e-11)


SERIES = st.lists(st.floats(0, 10), min_size=EPOCHS, max_size=EPOCHS)
ANY = {
    "section": st.sampled_from(SECTIONS),
    "warmup": st.integers(0, EPOCHS - 1),
    "interval": st.sampled_from(["epoch", "step"]),
    "values": SERIES,
    "steps": st.integers(1, 9),
}


@settings(max_examples=60)
@given(**ANY)
def test_rates_stay_between_zero_and_the_base_rate_and_rise_to_it_in_the_warm_up(
    section: dict[str, Any], warmup: int, interval: str, values: list[float], steps: int
) -> None:
    config = scheduled({**section, "warmup_epochs": warmup, "interval": interval})
    found = rates(config, values, steps=steps)
    assert all(0 < rate <= BASE for rate in found)
    rising = found[: warmup * steps + 1] if interval == "step" else found[: warmup * steps + 1 : steps]
    assert all(earlier < later for earlier, later in pairwise(rising))
    assert rising[-1] == BASE


@settings(max_examples=60)
@given(section=ANY["section"], warmup=ANY["warmup"], values=SERIES, steps=ANY["steps"])
def test_a_schedule_by_epochs_ignores_the_step_and_equals_one_by_steps_of_a_whole_epoch(
    section: dict[str, Any], warmup: int, values: list[float], steps: int
) -> None:
    by_epoch = scheduled({**section, "warmup_epochs": warmup})
    by_step = scheduled({**section, "warmup_epochs": warmup, "interval": "step"})
    firsts = rates(by_epoch, values, steps=1)
    assert rates(by_epoch, values, steps=steps) == [rate for rate in firsts for _ in range(steps)]
    assert rates(by_step, values, steps=1) == firsts


@settings(max_examples=60)
@given(**ANY)
def test_what_the_records_hold_matters_to_a_plateau_only(
    section: dict[str, Any], warmup: int, interval: str, values: list[float], steps: int
) -> None:
    config = scheduled({**section, "warmup_epochs": warmup, "interval": interval})
    rising = [float(EPOCHS - epoch) for epoch in range(EPOCHS)]
    same = rates(config, values, steps=steps) == rates(config, rising, steps=steps)
    assert same or section["name"] == "plateau"


NOT_FACTORS: dict[str, tuple[Callable[..., Any], str]] = {
    "negative": (lambda _: -0.5, "returned -0.5."),
    "unknown": (lambda _: math.nan, "returned nan."),
    "infinite": (lambda _: math.inf, "returned inf."),
    "huge": (lambda _: 10**400, "failed: OverflowError"),
    "text": (lambda _: "0.5", "returned '0.5'."),
    "nothing": (lambda _: None, "returned None (is its `return` missing?)."),
    "truth": (lambda _: True, "returned True."),
    "imaginary": (lambda _: 1j, "returned 1j."),
    "failing": (lambda epochs: 1 / (epochs - epochs), "failed: ZeroDivisionError"),
    "deaf": (lambda: 1.0, "failed: TypeError"),
    "sinking": (sinking, "returned -0.125."),
}


@pytest.mark.parametrize("name", NOT_FACTORS)
def test_a_function_that_gives_no_factor_is_named_with_position_and_value(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    function, complaint = NOT_FACTORS[name]
    monkeypatch.setitem(sys.modules, "wrong_factors", SimpleNamespace(**{name: function}))
    own = {"name": "lambda", "function": f"wrong_factors:{name}", "warmup_epochs": 2, "interval": "step"}
    with pytest.raises(ConfigError) as error:
        learning_rate(scheduled(own), [0.0] * 6, 1, 2)
    start = f"'wrong_factors:{name}' (schedule.function), called with 4.5 epochs after the warm-up, {complaint}"
    assert str(error.value).startswith(start)
    assert "finite number of at least 0" in str(error.value)
    assert [problem.path for problem in problems(scheduled(own))] == ["schedule.function"]


MULTI = {"name": "multi_step"}
LATE = "would never be reached: training.epochs is 12"


@pytest.mark.parametrize(
    ("section", "sentences"),
    [
        *[(section, []) for section in SECTIONS],
        ({"name": "step", "step_size": 50}, []),
        ({**MULTI, "milestones": [11]}, []),
        ({**MULTI, "milestones": [9], "warmup_epochs": 2}, []),
        ({**MULTI, "milestones": [11, 12, 40]}, [f"12, 40 {LATE}, so a milestone can be at most 11."]),
        (
            {**MULTI, "milestones": [10], "warmup_epochs": 2},
            [f"10 {LATE}, 2 of them warm-up, so a milestone can be at most 9."],
        ),
        ({**MULTI, "milestones": [3, 2]}, ["must be in ascending order, but they are 3, 2."]),
        ({**MULTI, "milestones": [2, 2]}, ["must be in ascending order, but they are 2, 2."]),
        ({**MULTI, "milestones": [20, 2]}, ["must be in ascending order", f"20 {LATE}"]),
        ({"name": "lambda", "function": "rooted"}, ["must be package.module:function, but it is 'rooted'."]),
        ({"name": "lambda", "function": "test_schedules:missing"}, ["has no 'missing'"]),
        ({"name": "lambda", "function": "test_schedules:BASE"}, ["is not a function"]),
        ({"name": "lambda", "function": "no_such_module:f"}, ["cannot be imported"]),
        ({"name": "lambda", "function": "test_schedules:sinking"}, ["called with 11 epochs"]),
        ({"name": "lambda", "function": "test_schedules:sinking", "warmup_epochs": 8}, []),
    ],
)
def test_problems_of_a_schedule(section: dict[str, Any], sentences: list[str]) -> None:
    found = list(problems(scheduled(section)))
    assert len(found) == len(sentences)
    path = "schedule.function" if section["name"] == "lambda" else "schedule.milestones"
    assert {problem.path for problem in found} <= {path}
    for problem, sentence in zip(found, sentences, strict=True):
        assert sentence in problem.message


def test_problems_of_phases_name_the_phase_and_only_phases_count() -> None:
    late = {**MULTI, "milestones": [20]}
    phases = [{"schedule": {"name": "constant"}}, {"schedule": late}, {"schedule": late, "training": {"epochs": 30}}]
    config = scheduled(late).replaced({"phases": phases})
    (problem,) = problems(config)
    assert problem.path == "phases"
    assert problem.message.startswith(f"phase 2: schedule.milestones: 20 {LATE}")


def test_the_examples_of_the_page_are_valid_and_show_every_schedule() -> None:
    cells = [cell for line in PAGE.read_text(encoding="utf-8").splitlines() for cell in line.split("`")[1::2]]
    examples = [YAML(typ="safe").load(cell) for cell in cells if cell.startswith("schedule: {")]
    shown = {scheduled(example["schedule"], epochs=100).schedule.name for example in examples}
    assert shown == {section["name"] for section in SECTIONS}


@pytest.mark.parametrize("interval", ["epoch", "step"])
def test_the_rates_of_an_epoch_are_those_of_its_steps(interval: str) -> None:
    run = make_config({"schedule": {"name": "cosine", "warmup_epochs": 1, "interval": interval}})
    for records in ([], records_of([1.0]), records_of([1.0, 1.0])):
        expected = [learning_rate(run, [1.0] * len(records), step, 4) for step in range(4)]
        assert learning_rates(run, records, 4) == expected


@pytest.mark.parametrize(
    ("section", "epochs"),
    [
        ({"name": "constant"}, 0),
        ({"name": "constant", "warmup_epochs": 3}, 3),
        ({"name": "exponential", "gamma": 0.9, "warmup_epochs": 2}, 2),
        ({"name": "step", "step_size": 4}, 4),
        ({"name": "step", "step_size": 4, "warmup_epochs": 2}, 6),
        ({"name": "step", "step_size": EPOCHS}, 0),  # never falls
        ({"name": "multi_step", "milestones": [3, 7]}, 3),
        ({"name": "cosine"}, EPOCHS // 2),
        ({"name": "linear", "warmup_epochs": 2}, 2 + (EPOCHS - 2) // 2),
        ({"name": "plateau", "patience": 2, "warmup_epochs": 1}, 1),
    ],
)
def test_patience_waits_for_the_first_decay(section: dict[str, Any], epochs: int) -> None:
    config = scheduled(section)
    assert first_decay(config) == epochs
    assert all(learning_rate(config, [1.0] * done) <= BASE for done in range(epochs))
