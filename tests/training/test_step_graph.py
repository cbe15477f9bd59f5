"""Recorded steps: on the CPU with a recording that only calls the step again, and on a GPU with a real one."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
import torch
from tiny import CPU, make_config, make_splits

from regstudy.training import loop
from regstudy.training.loop import run_epoch, train_epoch
from regstudy.training.run import continue_from
from regstudy.training.step_graph import WARM_UP_STEPS, Changing, DeviceSteps, Outputs, unchanged
from regstudy.training.train_state import TrainState, start

OPS = ["crop", "shift", "rotate", "scale", "shear", "flip", "color", "erase"]
IMAGES = 29  # in batches of 8: three full ones, and one that is never recorded
ALL = {
    "augmentation": {"strength": 0.8, "ops": OPS},
    "regularization": {
        "cutout": 3, "random_erasing": 0.5, "mixup": 0.3, "cutmix": 0.3, "ema": 0.9, "l1": 1e-3, "l2": 1e-2,
        "label_smoothing": 0.1,
    },
    "model.dropout": 0.3,
    "schedule": {"name": "cosine", "interval": "step", "warmup_epochs": 1},
}  # fmt: skip
CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "everything": ALL,
    "oversampling": {**ALL, "training.balance": "oversample"},
    "sgd": {**ALL, "optimizer": {"name": "sgd", "lr": 0.05}},
    "sgd, coupled l2": {**ALL, "optimizer": {"name": "sgd", "momentum": 0.5, "nesterov": False}},
    "plain sgd": {"optimizer": {"name": "sgd", "momentum": 0.0}},
    "rmsprop": {**ALL, "optimizer": {"name": "rmsprop", "momentum": 0.5}},
    "mixup": {"regularization": {"mixup": 1.0, "ema": 0.5}, "training.balance": "weights"},
}  # fmt: skip
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


def calls_again(step: Callable[[], Outputs], _: torch.device) -> tuple[Callable[[], object], Outputs]:
    """As `record_on_gpu`, for the CPU: the steps before a recording are taken, and it has places for its outputs."""
    for _ in range(WARM_UP_STEPS):
        outputs = step()

    def replay() -> None:
        for place, found in zip(outputs, step(), strict=True):
            place.copy_(found)

    return replay, outputs


def started(changes: dict[str, Any], record: Any) -> TrainState:
    state = start(make_config(changes), make_splits(IMAGES, learnable=True), CPU)
    state.steps = DeviceSteps(state.config.training.batch_size, record)
    return state


def saved(state: TrainState) -> dict[str, Any]:
    """The state as a checkpoint brings it back, in memory of its own."""
    buffer = io.BytesIO()
    torch.save(state.state_dict(), buffer)
    buffer.seek(0)
    found: dict[str, Any] = torch.load(buffer, weights_only=True)
    return found


def weights(state: TrainState) -> list[torch.Tensor]:
    return [one.clone() for one in Changing(state.model, state.optimizer, state.average).tensors()]


def same(ones: list[torch.Tensor], others: list[torch.Tensor]) -> bool:
    return all(torch.equal(one, other) for one, other in zip(ones, others, strict=True))


def plain(records: Any) -> list[Any]:
    return [(one.train_loss, one.train_accuracy, one.gradient_norm, one.val_loss, one.val_accuracy) for one in records]


@pytest.mark.parametrize("case", CASES)
def test_recorded_steps_are_the_usual_ones_to_the_bit(case: str) -> None:
    """Over three epochs, the last of which a resumed training repeats with recordings of its own."""
    usual = started(CASES[case], None)
    for _ in range(3):
        run_epoch(usual)
    found = started(CASES[case], calls_again)
    for _ in range(2):
        run_epoch(found)
    checkpoint = saved(found)
    run_epoch(found)
    resumed = started(CASES[case], calls_again)
    torch.manual_seed(77)
    resumed.load_state_dict(checkpoint)
    run_epoch(resumed)
    assert found.steps is not None and found.steps.recordings and not found.steps.refused
    for state in (found, resumed):
        assert plain(state.records) == plain(usual.records)
        assert same(weights(state), weights(usual))


def test_only_full_batches_are_recorded_once_per_kind() -> None:
    kinds = started(ALL, calls_again)
    for _ in range(6):
        train_epoch(kinds, [])
    assert kinds.steps is not None
    assert len(kinds.steps.recordings) == 3  # blended, pasted, neither
    assert {len(one.positions) for one in kinds.steps.recordings.values()} == {8}


def test_a_step_that_cannot_be_recorded_is_taken_as_usual_and_says_so() -> None:
    attempts: list[int] = []

    def refusing(step: Callable[[], Outputs], _: torch.device) -> Any:
        step()
        attempts.append(1)
        raise RuntimeError("called a synchronizing CUDA operation\nmore")

    usual = started(ALL, None)
    run_epoch(usual)
    refused = started(ALL, refusing)  # only now, because it seeds dropout
    run_epoch(refused)
    assert refused.steps is not None and refused.steps.refused == "called a synchronizing CUDA operation"
    assert attempts == [1]
    assert plain(refused.records) == plain(usual.records)


def test_a_restored_state_records_again() -> None:
    """What it has recorded would change the optimizer's former tensors."""
    state = started({}, calls_again)
    run_epoch(state)
    state.load_state_dict(saved(state))
    assert state.steps is not None and not state.steps.recordings
    run_epoch(state)
    assert state.steps.recordings


def test_outputs_of_a_step_are_not_overwritten_by_the_next() -> None:
    state = started({}, calls_again)
    batches = loop.shuffled_batches(state)
    kept = [loop.train_step(state, indices, 0.05) for indices in batches[:3]]
    assert len({float(sums[0]) for sums, _ in kept}) == 3


def test_evaluation_mode_has_recordings_of_its_own() -> None:
    state = started({"model.dropout": 0.5}, calls_again)
    first = loop.shuffled_batches(state)[0]
    loop.train_step(state, first, 0.05)
    state.model.eval()
    loop.train_step(state, first, 0.05)
    assert state.steps is not None and len(state.steps.recordings) == 2


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("after", [0, 1])
def test_steps_are_undone_in_place(case: str, after: int) -> None:
    state = started(CASES[case], None)
    for _ in range(after):
        run_epoch(state)
    state.model.train()
    changing = Changing(state.model, state.optimizer, state.average)
    before, places = weights(state), [one.data_ptr() for one in changing.tensors()]
    random = torch.get_rng_state()
    batches = loop.shuffled_batches(state)
    with unchanged(changing, CPU):
        loop.train_step(state, batches[0], 0.05)
        assert not same(weights(state)[: len(before)], before)
    found = weights(state)
    assert [one.data_ptr() for one in changing.tensors()][: len(places)] == places or not after
    assert torch.equal(torch.get_rng_state(), random)
    known = {one.data_ptr() for one in changing.tensors()} & set(places)
    kept = [one for one, place in zip(found, changing.tensors(), strict=True) if place.data_ptr() in known]
    assert same(kept, before)
    assert all(not one.any() for one, at in zip(found, changing.tensors(), strict=True) if at.data_ptr() not in known)


def test_weights_of_an_earlier_phase_are_trained_on() -> None:
    """They replace those of a fresh state, and its average, before the first recording."""
    states = [started({"regularization.ema": 0.9}, record) for record in (None, calls_again)]
    given = {name: one.clone() + 0.01 for name, one in states[0].model.state_dict().items()}
    for state in states:
        continue_from(state, given)
        run_epoch(state)
    assert same(*(weights(state) for state in states))


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("case", CASES)
def test_an_epoch_on_a_gpu_waits_only_at_its_end(case: str) -> None:
    """The first epochs record every kind of batch; in the last one, waiting would be an error."""
    gpu = torch.device("cuda")
    changes = {**CASES[case], "model": {"name": "svhn_resnet", "dropout": 0.2, "stochastic_depth": 0.2}}
    changes.pop("model.dropout", None)
    state = start(make_config(changes), make_splits(IMAGES, learnable=True), gpu)
    for _ in range(5):
        run_epoch(state)
    assert state.steps is not None and state.steps.recordings, state.steps and state.steps.refused
    batches = loop.shuffled_batches(state)
    state.model.train()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for indices in batches:
            loop.train_step(state, indices, 0.01)
        order = loop.shuffled_batches(state)
        assert len(order) == len(batches)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("case", CASES)
def test_recorded_steps_on_a_gpu_give_the_usual_curve(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the algorithms that are free to add in any order, and resumed in the middle."""
    changes = {**CASES[case], "model": {"name": "small_cnn", "dropout": 0.3}, "training.epochs": 3}
    changes.pop("model.dropout", None)
    splits = make_splits(IMAGES, learnable=True)
    found = []
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    for recorded in (False, True):
        state = start(make_config(changes), splits, torch.device("cuda"))
        assert state.steps is not None
        state.steps.record = state.steps.record if recorded else None
        run_epoch(state)
        checkpoint = saved(state)
        run_epoch(state)
        assert not state.steps.refused and bool(state.steps.recordings) is recorded
        resumed = start(make_config(changes), splits, torch.device("cuda"))
        resumed.load_state_dict(checkpoint)
        run_epoch(resumed)
        found += [plain(state.records), plain(resumed.records)]
    usual, *others = found
    for other in others:
        assert other == [pytest.approx(one, rel=1e-3, abs=1e-4) for one in usual]
