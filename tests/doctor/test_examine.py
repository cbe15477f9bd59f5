"""The examination: its order and depths, what is not judged until something is fixed, and that it changes nothing."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from planted import alarms, convolutional, digits, ids, mlp, noise, seeded, severities, shuffled, state
from torch import Tensor, nn
from torch.utils.data import Dataset

from regstudy.doctor import Diagnosis, Finding, examine
from regstudy.doctor.checks import capacity_checks
from regstudy.doctor.examine import DEPTHS, Depth, PlannedCheck, run_checks
from regstudy.doctor.findings import STAGES, Result, Severity
from regstudy.errors import DataError, RegstudyError

Pair = tuple[Tensor, Tensor]
COUNT, HELD = 500, 150
PIXELS, LABELS = digits(COUNT + HELD)


@pytest.fixture(autouse=True)
def short_trainings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity_checks, "MAX_CURVE_STEPS", 60)
    monkeypatch.setattr(capacity_checks, "MAX_RANDOM_LABEL_STEPS", 40)


def normalized(pixels: Tensor) -> Tensor:
    return (pixels.float() / 255 - 0.3) / 0.35


def parts() -> tuple[Pair, Pair]:
    inputs = normalized(PIXELS)
    return (inputs[:COUNT].clone(), LABELS[:COUNT].clone()), (inputs[COUNT:].clone(), LABELS[COUNT:].clone())


class Own(Dataset[Any]):
    """A data set such as people write."""

    classes = tuple(f"digit {n}" for n in range(10))

    def __init__(self, pair: Pair, jitter: float = 0.0) -> None:
        self.images, self.labels, self.jitter = *pair, jitter

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = self.images[index]
        return image + self.jitter * torch.randn(image.shape), int(self.labels[index])


def sound() -> dict[str, Any]:
    model = mlp(256, 10)
    return {"model": model, "optimizer": torch.optim.Adam(model.parameters(), lr=3e-3)}


def found(stage: str, severity: Severity = "blocks", name: str = "") -> Result:
    return Result("Seen.", (Finding(name or f"{stage}-fault", stage, severity, "x"),))


def check(
    name: str, stage: str, result: Result | None = None, needs: tuple[str, ...] = (), depth: Depth = "preflight"
) -> PlannedCheck:
    return PlannedCheck(name, stage, lambda: result or Result("Seen."), frozenset(needs), depth)


# Order, gates and depths, on checks that compute nothing


def test_checks_are_made_and_findings_told_in_the_doctors_order() -> None:
    told: list[str] = []
    mixed = [check(f"{stage} {n}", stage, found(stage, "note", f"{stage} {n}")) for n in (1, 2) for stage in STAGES]
    diagnosis = run_checks(mixed[::-1], "default", "mixed", told.append)
    expected = [f"{stage} {n}" for stage in STAGES for n in (2, 1)]
    assert told == [made.check for made in diagnosis.checked] == ids(diagnosis.findings) == expected
    assert all(made.findings == 1 and made.examined == "Seen." for made in diagnosis.checked)
    assert diagnosis.subject == "mixed" and diagnosis.seconds >= 0


@pytest.mark.parametrize(
    ("severity", "needs", "judged"),
    [
        ("blocks", ("inputs",), False),
        ("blocks", ("data", "inputs"), False),
        ("blocks", ("split",), True),
        ("blocks", (), True),
        ("distorts", ("inputs",), True),
        ("note", ("inputs",), True),
    ],
)
def test_what_a_blocking_finding_makes_meaningless_is_not_judged(
    severity: Severity, needs: tuple[str, ...], judged: bool
) -> None:
    made: list[str] = []
    later = PlannedCheck("later", "training", lambda: made.append("later") or Result("Seen."), frozenset(needs))
    diagnosis = run_checks([later, check("first", "inputs", found("inputs", severity))], "default", "x", made.append)
    assert ("later" in made) is judged
    assert [(one.check, one.stage, one.why) for one in diagnosis.unjudged] == (
        [] if judged else [("later", "training", "fix inputs-fault first")]
    )


def test_all_that_must_be_mended_first_is_named_once() -> None:
    checks = [
        check("a", "data", found("data", name="copies")),
        check("b", "data", found("data", name="copies")),
        check("c", "split", found("split", name="class-missing")),
        check("d", "capacity", needs=("data", "split")),
    ]
    assert run_checks(checks, "default", "x").unjudged[0].why == "fix copies and class-missing first"


@pytest.mark.parametrize(
    ("depth", "why"),
    [
        ("preflight", {"b": "not part of --preflight", "c": "runs only with --full"}),
        ("default", {"c": "runs only with --full"}),
        ("full", {}),
    ],
)
def test_each_depth_makes_more_checks(depth: Depth, why: dict[str, str]) -> None:
    checks = [check(name, "training", depth=least) for name, least in zip("abc", DEPTHS, strict=True)]
    assert {one.check: one.why for one in run_checks(checks, depth, "x").unjudged} == why


def test_a_check_that_breaks_down_does_not_end_the_examination() -> None:
    def broken() -> Result:
        raise ValueError("two\nlines")

    diagnosis = run_checks([PlannedCheck("a", "data", broken), check("b", "split", found("split"))], "default", "x")
    (one,) = diagnosis.unjudged
    assert one.check == "a" and one.why.startswith("the check failed: ValueError: two lines (")
    assert "test_examine.py, line" in one.why
    assert ids(diagnosis.findings) == ["split-fault"]


def test_what_the_tool_itself_refuses_is_raised() -> None:
    def refusing() -> Result:
        raise RegstudyError("not so")

    with pytest.raises(RegstudyError, match="not so"):
        run_checks([PlannedCheck("a", "data", refusing)], "default", "x")


# One's own data and network


def test_sound_data_and_a_sound_network_pass() -> None:
    train, validation = parts()
    told: list[str] = []
    diagnosis = examine(Own(train), Own(validation), **sound(), subject="my digits", on_progress=told.append)
    assert isinstance(diagnosis, Diagnosis) and alarms(diagnosis) == {} and diagnosis.subject == "my digits"
    assert told == [made.check for made in diagnosis.checked]
    assert {"copies", "labels", "classes", "input scale", "first batch", "learning rate", "amount of data"} <= set(told)
    assert [(one.check, one.why) for one in diagnosis.unjudged] == [("random labels", "runs only with --full")]
    stages = [list(STAGES).index(made.stage) for made in diagnosis.checked]
    assert stages == sorted(stages) and set(stages) == set(range(len(STAGES)))


def test_data_may_be_examined_without_a_network() -> None:
    diagnosis = examine(*parts())
    assert alarms(diagnosis) == {}
    assert {made.stage for made in diagnosis.checked} == {"data", "split", "inputs"}


def test_a_network_may_be_examined_without_an_optimizer() -> None:
    diagnosis = examine(*parts(), model=convolutional(), depth="preflight")
    made = {one.check for one in diagnosis.checked} | {one.check for one in diagnosis.unjudged}
    assert alarms(diagnosis) == {} and "first batch" in made
    assert not {"optimizer parameters", "learning rate"} & made


def test_the_preflight_trains_nothing() -> None:
    diagnosis = examine(*parts(), **sound(), depth="preflight")
    left = {"learning rate": "not part of --preflight", "amount of data": "not part of --preflight"}
    assert {one.check: one.why for one in diagnosis.unjudged} == {**left, "random labels": "runs only with --full"}


def test_groups_paths_and_a_test_part_add_their_checks() -> None:
    train, validation = parts()
    names = [f"{at}.png" for at in range(COUNT + HELD)]

    def made(**more: Any) -> set[str]:
        return {one.check for one in examine(train, validation, depth="preflight", **more).checked}

    plain = made()
    assert made(train_paths=names[:COUNT], validation_paths=names[COUNT:]) - plain == {"groups in file names"}
    assert made(train_groups=names[:COUNT], validation_groups=names[COUNT:]) - plain == {"groups"}
    assert made(test=(noise(30, 1, 16, 16), LABELS[:30])) - plain == {"validation and test"}


# Planted faults, as people have them


def with_shuffled(share: float) -> Callable[[Pair, Pair], dict[str, Any]]:
    return lambda one, other: {"train": (one[0], shuffled(one[1], share)), "validation": other}


def rolled(one: Pair, other: Pair) -> dict[str, Any]:
    return {"train": (one[0], one[1].roll(1)), "validation": other}


def renumbered(one: Pair, other: Pair) -> dict[str, Any]:
    return {"train": one, "validation": (other[0], (other[1] + 1) % 10)}


def oversampled(one: Pair, other: Pair) -> dict[str, Any]:
    return {"train": one, "validation": (torch.cat([other[0], one[0][:50]]), torch.cat([other[1], one[1][:50]]))}


def in_groups(one: Pair, other: Pair) -> dict[str, Any]:
    keys = [f"slide {at % 60}" for at in range(COUNT + HELD)]
    return {"train": one, "validation": other, "train_groups": keys[:COUNT], "validation_groups": keys[COUNT:]}


def sorted_and_cut(one: Pair, other: Pair) -> dict[str, Any]:
    inputs, labels = torch.cat([one[0], other[0]]), torch.cat([one[1], other[1]])
    order = labels.argsort(stable=True)
    return {
        "train": (inputs[order[:COUNT]], labels[order[:COUNT]]),
        "validation": (inputs[order[COUNT:]], labels[order[COUNT:]]),
    }


FAULTS: dict[str, tuple[Callable[[Pair, Pair], dict[str, Any]], str, str]] = {
    "shuffled labels": (with_shuffled(1.0), "data", "labels-unrelated"),
    "wrong labels": (with_shuffled(0.5), "data", "labels-wrong"),
    "labels shifted by one": (rolled, "data", "labels-misaligned"),
    "classes numbered otherwise": (renumbered, "data", "classes-exchanged"),
    "copies": (oversampled, "data", "copies"),
    "groups on both sides": (in_groups, "data", "groups-straddle"),
    "cut in two without shuffling": (sorted_and_cut, "split", "class-missing"),
    "validation is test": (lambda a, b: {"train": a, "validation": b, "test": b}, "split", "validation-is-test"),
    "darker validation": (
        lambda a, b: {"train": a, "validation": (normalized(PIXELS[COUNT:] // 2), b[1])},
        "split",
        "parts-differ",
    ),
    "normalized otherwise": (
        lambda a, b: {"train": a, "validation": (b[0] * 0.35 + 0.3, b[1])},
        "inputs",
        "normalization-differs",
    ),
    "not normalized": (
        lambda a, b: {"train": (PIXELS[:COUNT], a[1]), "validation": (PIXELS[COUNT:], b[1])},
        "inputs",
        "inputs-unscaled",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_named_first_in_their_stage(fault: str) -> None:
    plant, stage, name = FAULTS[fault]
    diagnosis = examine(**plant(*parts()), classes=Own.classes, depth="preflight")
    first = diagnosis.first(stage)
    assert first is not None and first.id == name and first.severity != "note"
    earlier = list(STAGES)[: list(STAGES).index(stage)]
    assert not [finding for finding in diagnosis.findings if finding.stage in earlier and finding.severity != "note"]


def test_another_normalization_of_a_part_is_not_another_source() -> None:
    diagnosis = examine(**FAULTS["normalized otherwise"][0](*parts()), depth="preflight")
    assert alarms(diagnosis) == {"normalization-differs": "blocks"}


@pytest.mark.parametrize(("sources", "alarmed"), [((0.0, 0.0), True), ((0.02, 0.0), False), ((0.0, 0.02), False)])
def test_parts_that_are_changed_at_random_are_not_compared(sources: tuple[float, float], alarmed: bool) -> None:
    train, validation = parts()
    dark = (normalized(PIXELS[COUNT:] // 2), validation[1])
    diagnosis = examine(Own(train, sources[0]), Own(dark, sources[1]), depth="preflight")
    assert ("parts-differ" in severities(diagnosis)) is alarmed


@pytest.mark.parametrize("mixed", [True, False], ids=["mixed", "copies side by side"])
def test_copies_of_one_group_do_not_answer_for_each_other(mixed: bool) -> None:
    """With every training image doubled, labels without meaning are seen through where the groups are known."""
    train, validation = parts()
    at = (torch.randperm(400, generator=seeded()) if mixed else torch.arange(400)) // 2
    diagnosis = examine(
        (train[0][at], shuffled(train[1][:200], 1.0)[at]),
        validation,
        train_groups=at.tolist(),
        validation_groups=[f"other {n}" for n in range(HELD)],
        depth="preflight",
    )
    assert {name for name in alarms(diagnosis) if name.startswith("labels")} == {"labels-unrelated"}


def test_training_images_of_a_single_group_are_no_fault_of_the_labels() -> None:
    diagnosis = examine(*parts(), train_groups=["a"] * COUNT, validation_groups=["b"] * HELD, depth="preflight")
    assert alarms(diagnosis) == {}


def test_of_a_set_in_the_order_of_its_classes_all_classes_are_tried() -> None:
    """As folders of images are read; a batch of few classes would say nothing of loss, gradients and rates."""
    (inputs, labels), validation = parts()
    order, seen = labels.argsort(stable=True), []

    def loss(scores: Tensor, wanted: Tensor) -> Tensor:
        seen.append(len(wanted.unique()))
        return nn.functional.cross_entropy(scores, wanted)

    model = mlp(256, 10)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3, weight_decay=1e-2)
    diagnosis = examine(
        (inputs[order], labels[order]), validation, model=model, optimizer=optimizer, loss=loss, depth="preflight"
    )
    assert alarms(diagnosis) == {} and seen and min(seen) >= 8


# What is not judged


def waiting(diagnosis: Diagnosis) -> dict[str, str]:
    return {one.check: one.why for one in diagnosis.unjudged if one.why.startswith("fix ")}


def test_training_is_not_judged_on_inputs_of_the_wrong_size() -> None:
    faulty = FAULTS["not normalized"][0](*parts())
    diagnosis = examine(**faulty, **sound())
    why = "fix inputs-unscaled first"
    assert waiting(diagnosis) == dict.fromkeys(["first batch", "learning rate", "weight decay", "amount of data"], why)
    assert diagnosis.first("training") is None


def test_a_learning_rate_is_not_judged_behind_a_softmax() -> None:
    model = nn.Sequential(mlp(256, 10), nn.Softmax(1))
    diagnosis = examine(*parts(), model=model, optimizer=torch.optim.Adam(model.parameters(), lr=1e-3))
    assert alarms(diagnosis) == {"softmax-inside": "blocks"}
    why = "fix softmax-inside first"
    assert waiting(diagnosis) == {"learning rate": why, "amount of data": why}


def test_more_data_is_not_asked_for_while_copies_flatter() -> None:
    diagnosis = examine(**oversampled(*parts()), **sound())
    assert alarms(diagnosis) == {"copies": "blocks"}
    assert waiting(diagnosis) == {"amount of data": "fix copies first"}


@pytest.mark.table
@pytest.mark.parametrize(
    ("model", "lr", "name"),
    [
        (lambda: mlp(256, 10), 30.0, "lr-too-large"),
        (lambda: mlp(256, 10), 1e-7, "lr-too-small"),
        (lambda: mlp(256, 40), 3e-3, "head-size"),
        (lambda: mlp(256, 4), 3e-3, "head-size"),
    ],
)
def test_faults_of_a_network_are_named_first(model: Callable[[], nn.Module], lr: float, name: str) -> None:
    made = model()
    diagnosis = examine(*parts(), model=made, optimizer=torch.optim.Adam(made.parameters(), lr=lr))
    first = diagnosis.first("training")
    assert first is not None and first.id == name
    assert alarms(diagnosis).keys() == {name}


class Failing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(7, 10)

    def forward(self, images: Tensor) -> Tensor:
        return self.layer(images.flatten(1))


def test_a_network_that_cannot_take_the_images_is_said_to() -> None:
    model = Failing()
    with pytest.raises(DataError, match=r"The model on images .* failed: RuntimeError"):
        examine(*parts(), model=model, depth="preflight")
    assert model.training


# Nothing is changed


@pytest.mark.table
@pytest.mark.parametrize(("training", "depth"), [(True, "full"), (False, "default")])
def test_nothing_of_ones_own_is_changed(training: bool, depth: Depth) -> None:
    train, validation = parts()
    model = nn.Sequential(nn.Dropout(0.2), convolutional(width=4)).train(training)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    nn.functional.cross_entropy(model(train[0][:32]), train[1][:32]).backward()
    optimizer.step()
    optimizer.zero_grad()
    kept = [one.clone() for one in (*train, *validation)]
    before = state(model, optimizer)
    others = random.getstate(), np.random.get_state()[1].tolist()
    examine((train[0][:200], train[1][:200]), validation, model=model, optimizer=optimizer, depth=depth)
    assert state(model, optimizer) == before
    assert (random.getstate(), np.random.get_state()[1].tolist()) == others
    assert all(torch.equal(one, other) for one, other in zip((*train, *validation), kept, strict=True))


def test_two_examinations_find_the_same() -> None:
    one, other = (examine(**rolled(*parts()), **sound(), depth="preflight").plain() for _ in range(2))
    assert {**one, "seconds": 0} == {**other, "seconds": 0}


# What is refused


def test_an_unknown_depth_is_refused() -> None:
    with pytest.raises(RegstudyError, match=r"no depth 'deep'\. Allowed: preflight, default, full"):
        examine(*parts(), depth="deep")  # type: ignore[arg-type]


def test_what_holds_no_images_is_refused() -> None:
    with pytest.raises(DataError, match="got str"):
        examine("train/", "validation/")


def test_off_the_grid_a_difference_of_pixels_is_not_called_one_of_normalization() -> None:
    train, validation = parts()
    worn = [pair[0] + 0.01 * noise(*pair[0].shape, seed=seed) for seed, pair in enumerate((train, validation))]
    found = ids(examine((worn[0], train[1]), (worn[1] * 0.5 + 0.6, validation[1])).findings)
    assert "parts-differ" in found and "normalization-differs" not in found
