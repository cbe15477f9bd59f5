"""One epoch of training: repeatable to the bit, resumable, and measuring what it says it measures."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import astuple, replace
from typing import Any

import pytest
import torch
from tiny import CPU, make_config, make_splits, random_images
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from regstudy.records import EpochRecord
from regstudy.training import augmentation, evaluation, loop
from regstudy.training.evaluation import evaluate
from regstudy.training.loop import run_epoch, shuffled_batches
from regstudy.training.train_state import TrainState, start

EVERYTHING: dict[str, Any] = {
    "model.dropout": 0.3,
    "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9},
    "schedule": {"name": "plateau", "factor": 0.5, "patience": 0},
    "regularization": {
        "l1": 1e-3,
        "l2": 1e-3,
        "label_smoothing": 0.1,
        "mixup": 0.4,
        "cutmix": 0.4,
        "cutout": 4,
        "random_erasing": 0.5,
        "ema": 0.9,
    },
    "augmentation": {"strength": 0.8, "ops": ["crop", "rotate", "flip"]},
    "training.epochs": 6,
    "training.balance": "oversample",
}


@pytest.fixture(autouse=True)
def _the_global_generator_is_left_as_it_was() -> Iterator[None]:
    state = torch.get_rng_state()
    yield
    torch.set_rng_state(state)


def timeless(records: list[EpochRecord]) -> list[tuple[Any, ...]]:
    return [astuple(replace(record, seconds=0.0)) for record in records]


def curve(changes: dict[str, Any], epochs: int = 3) -> list[tuple[Any, ...]]:
    state = start(make_config(changes), make_splits(), CPU)
    return timeless([run_epoch(state) for _ in range(epochs)])


def test_the_same_configuration_gives_the_same_curve_to_the_bit() -> None:
    one = curve(EVERYTHING)
    torch.rand(7)  # what others draw must not matter
    assert curve(EVERYTHING) == one


def test_another_seed_gives_another_curve() -> None:
    assert curve(EVERYTHING) != curve({**EVERYTHING, "training.seed": 1})


@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop", "adam", "adamw"])
@pytest.mark.parametrize("epoch", [1, 3])
def test_a_saved_state_goes_on_as_if_nothing_had_happened(optimizer: str, epoch: int) -> None:
    momentum = {"momentum": 0.9} if optimizer in ("sgd", "rmsprop") else {}
    config = make_config({**EVERYTHING, "optimizer": {"name": optimizer, "lr": 0.02, **momentum}})
    undisturbed = start(config, make_splits(), CPU)
    for _ in range(epoch):
        run_epoch(undisturbed)
    file = io.BytesIO()
    torch.save(undisturbed.state_dict(), file)
    for _ in range(3):
        run_epoch(undisturbed)
    file.seek(0)
    resumed = start(config, make_splits(), CPU)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    assert len(resumed.records) == epoch
    for _ in range(3):
        run_epoch(resumed)
    assert timeless(resumed.records) == timeless(undisturbed.records)
    for one, other in zip(resumed.model.state_dict().values(), undisturbed.model.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_a_saved_state_is_not_changed_by_loading_and_going_on() -> None:
    config = make_config(EVERYTHING)
    state = start(config, make_splits(), CPU)
    run_epoch(state)
    file = io.BytesIO()
    torch.save(state.state_dict(), file)
    curves = []
    for _ in range(2):
        file.seek(0)
        state.load_state_dict(torch.load(file, weights_only=True))
        curves.append(timeless([run_epoch(state) for _ in range(2)]))
    assert curves[0] == curves[1]


def by_hand(model: nn.Module, state: TrainState, indices: Tensor) -> tuple[list[float], list[float]]:
    """Loss and hit of each training image at the given positions, in training mode as one batch."""
    part = state.splits.train
    logits = model(state.preprocessing(part.images[indices]))
    labels = part.labels[indices]
    return cross_entropy(logits, labels, reduction="none").tolist(), (logits.argmax(1) == labels).double().tolist()


def test_running_metrics_weigh_examples_and_not_batches() -> None:
    """23 images in batches of 10, 10 and 3; with a tiny rate the network stays the same but for its statistics."""
    config = make_config({"training.batch_size": 10, "optimizer": {"name": "sgd", "lr": 1e-12}})
    state, twin = (start(config, make_splits(train=23), CPU) for _ in range(2))
    batches = shuffled_batches(twin)
    assert [len(batch) for batch in batches] == [10, 10, 3]
    losses, hits = [], []
    for indices in batches:
        batch_losses, batch_hits = by_hand(twin.model.train(), twin, indices)
        losses += batch_losses
        hits += batch_hits
    record = run_epoch(state)
    assert record.train_loss == pytest.approx(sum(losses) / 23, abs=1e-6)
    assert record.train_accuracy == pytest.approx(sum(hits) / 23, abs=1e-12)
    means = [sum(losses[:10]) / 10, sum(losses[10:20]) / 10, sum(losses[20:]) / 3]
    assert abs(record.train_loss - sum(means) / 3) > 1e-4, "this would not tell the two means apart"


def test_a_rest_of_one_is_left_out_of_the_epoch_and_of_its_mean() -> None:
    config = make_config({"training.batch_size": 8, "optimizer": {"name": "sgd", "lr": 1e-12}})
    state, twin = (start(config, make_splits(train=25), CPU) for _ in range(2))
    batches = shuffled_batches(twin)
    assert [len(batch) for batch in batches] == [8, 8, 8]
    losses = [loss for indices in batches for loss in by_hand(twin.model.train(), twin, indices)[0]]
    assert run_epoch(state).train_loss == pytest.approx(sum(losses) / 24, abs=1e-6)


@pytest.mark.parametrize(
    ("train", "size", "expected"),
    [(24, 8, [8, 8, 8]), (26, 8, [8, 8, 8, 2]), (25, 8, [8, 8, 8]), (5, 8, [5]), (8, 8, [8]), (9, 8, [8])],
)
def test_an_epoch_sees_every_image_once_but_for_a_rest_of_one(train: int, size: int, expected: list[int]) -> None:
    state = start(make_config({"training.batch_size": size}), make_splits(train=train), CPU)
    first, second = shuffled_batches(state), shuffled_batches(state)
    assert [len(batch) for batch in first] == expected
    seen = torch.cat(list(first)).tolist()
    assert len(set(seen)) == len(seen) == sum(expected) and set(seen) <= set(range(train))
    assert seen != torch.cat(list(second)).tolist()


def test_evaluation_is_complete_unsmoothed_and_weighs_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "EVALUATION_BATCH_SIZE", 5)
    state = start(make_config({"model.dropout": 0.5, "regularization.label_smoothing": 0.3}), make_splits(), CPU)
    run_epoch(state)
    images = random_images(12, seed=7)
    loss, accuracy = evaluate(state.model, images, state.preprocessing)
    model = state.model.eval()
    with torch.no_grad():
        logits = torch.cat([model(state.preprocessing(images.images[i : i + 1])) for i in range(12)])
    assert loss == pytest.approx(float(cross_entropy(logits, images.labels)), abs=1e-6)
    assert accuracy == pytest.approx(float((logits.argmax(1) == images.labels).double().mean()))


def test_clean_and_validation_metrics_are_those_of_evaluation_after_the_epoch() -> None:
    state = start(make_config({**EVERYTHING, "regularization.ema": 0.0}), make_splits(), CPU)
    record = run_epoch(state)
    clean = evaluate(state.model, state.splits.clean_train, state.preprocessing)
    assert (record.clean_train_loss, record.clean_train_accuracy) == clean
    assert (record.val_loss, record.val_accuracy) == evaluate(state.model, state.splits.validation, state.preprocessing)
    assert clean != evaluate(state.model, state.splits.validation, state.preprocessing)


def test_evaluation_changes_neither_weights_nor_statistics_nor_generators() -> None:
    state = start(make_config(EVERYTHING), make_splits(), CPU)
    run_epoch(state)
    before = {name: tensor.clone() for name, tensor in state.model.state_dict().items()}
    generators = [state.order.get_state(), state.augmentation.get_state(), torch.get_rng_state()]
    evaluate(state.model, state.splits.validation, state.preprocessing)
    assert all(torch.equal(before[name], tensor) for name, tensor in state.model.state_dict().items())
    after = [state.order.get_state(), state.augmentation.get_state(), torch.get_rng_state()]
    assert all(torch.equal(one, other) for one, other in zip(generators, after, strict=True))


def test_training_goes_on_in_training_mode_after_an_evaluation() -> None:
    state = start(make_config(), make_splits(), CPU)
    run_epoch(state)
    statistics = state.model[1].running_mean.clone()
    run_epoch(state)
    assert not torch.equal(state.model[1].running_mean, statistics)


def test_label_smoothing_is_in_the_training_loss_alone() -> None:
    """With a tiny rate the network is the same, so that only what is measured can differ."""
    still = {"optimizer": {"name": "sgd", "lr": 1e-12}, "training.batch_size": 24}
    plain, smooth = (
        run_epoch(start(make_config({**still, "regularization.label_smoothing": amount}), make_splits(), CPU))
        for amount in (0.0, 0.5)
    )
    twin = start(make_config(still), make_splits(), CPU)
    logits = twin.model(twin.preprocessing(twin.splits.train.images))
    uniform = float(-logits.detach().log_softmax(1).mean())
    assert smooth.train_loss == pytest.approx(0.5 * plain.train_loss + 0.5 * uniform, abs=1e-5)
    assert smooth.train_loss != pytest.approx(plain.train_loss, abs=1e-3)
    assert smooth.train_accuracy == plain.train_accuracy
    assert smooth.val_loss == pytest.approx(plain.val_loss, abs=1e-6)
    assert smooth.clean_train_loss == pytest.approx(plain.clean_train_loss, abs=1e-6)


def test_only_training_images_are_augmented(monkeypatch: pytest.MonkeyPatch) -> None:
    counts: list[int] = []

    def counted(images: Tensor, *others: Any) -> Tensor:
        counts.append(len(images))
        return augmentation.augment_by(images, *others)

    monkeypatch.setattr(loop, "augment_by", counted)
    run_epoch(start(make_config(EVERYTHING), make_splits(), CPU))
    assert counts == [8, 8, 8]


def test_dropout_and_augmentation_are_on_while_training() -> None:
    plain = curve({"optimizer": {"name": "sgd", "lr": 1e-12}}, 1)[0]
    names = list(EpochRecord.__dataclass_fields__)
    for change in ({"model.dropout": 0.5}, {"augmentation": {"strength": 1.0, "ops": ["flip"]}}):
        other = curve({"optimizer": {"name": "sgd", "lr": 1e-12}, **change}, 1)[0]
        assert abs(plain[names.index("train_loss")] - other[names.index("train_loss")]) > 1e-4


def test_the_gradient_norm_is_the_mean_over_steps() -> None:
    config = make_config({"training.batch_size": 12, "optimizer": {"name": "sgd", "lr": 1e-12}})
    state, twin = (start(config, make_splits(), CPU) for _ in range(2))
    norms = []
    for indices in shuffled_batches(twin):
        twin.model.zero_grad()
        logits = twin.model(twin.preprocessing(twin.splits.train.images[indices]))
        cross_entropy(logits, twin.splits.train.labels[indices]).backward()
        squares = [float(p.grad.double().square().sum()) for p in twin.model.parameters() if p.grad is not None]
        norms.append(sum(squares) ** 0.5)
    assert run_epoch(state).gradient_norm == pytest.approx(sum(norms) / 2, rel=1e-5)


def test_each_step_uses_and_records_the_rate_of_the_schedule() -> None:
    config = make_config(
        {
            "optimizer": {"name": "sgd", "lr": 0.1},
            "schedule": {"name": "step", "step_size": 1, "gamma": 0.5, "warmup_epochs": 1},
        }
    )
    state = start(config, make_splits(), CPU)
    assert [run_epoch(state).lr for _ in range(3)] == pytest.approx([0.05, 0.1, 0.05])
    assert {group["lr"] for group in state.optimizer.param_groups} == {0.05}
    assert [record.epoch for record in state.records] == [1, 2, 3]


def test_progress_counts_images() -> None:
    seen: list[tuple[int, int]] = []
    run_epoch(start(make_config(), make_splits(train=20), CPU), lambda done, of: seen.append((done, of)))
    assert seen == [(8, 20), (16, 20), (20, 20)]
