"""A loaded classifier answers as the trained network did, and says clearly why a folder cannot be loaded."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import CPU, make_config, make_splits
from torch import Tensor
from trained_folder import CLASSES, make_trained, random_set

import regstudy
from regstudy.errors import ArgumentError, ConfigError, FileError
from regstudy.production.preprocessing_file import PREPROCESSING_FILE, WEIGHTS_FILE, write_preprocessing, write_stored
from regstudy.space.loader import config_text
from regstudy.training.run import run

SIDE = 12


def images(count: int = 5, channels: int = 3, size: int = SIDE) -> Tensor:
    return random_set(count, channels, size, CLASSES, seed=9).images


@pytest.mark.parametrize(
    "changes",
    [
        {"preprocessing.normalize": "train", "preprocessing.crop": 9},
        {"model.dropout": 0.5, "regularization.ema": 0.9},
        {"preprocessing.normalize": "imagenet"},
    ],
)
def test_it_answers_as_the_trained_network_to_the_bit(tmp_path: Path, changes: dict[str, Any]) -> None:
    config, splits = make_config({"training.epochs": 2, **changes}), make_splits()
    trained = run(config, splits, CPU)
    save_file({name: t.contiguous() for name, t in trained.weights.items()}, tmp_path / WEIGHTS_FILE)
    (tmp_path / "config.yaml").write_text(config_text(config.model_dump(mode="json")))
    write_preprocessing(tmp_path, config, splits)
    classifier = regstudy.load(tmp_path)
    network, pixels = trained.state.model, splits.validation.images
    network.load_state_dict(trained.weights)
    with torch.inference_mode():
        wanted = network.eval()(trained.state.preprocessing(pixels)).softmax(1)
    assert torch.equal(classifier.probabilities(pixels), wanted)
    assert not classifier.training and classifier.classes == splits.train.classes


def test_the_table_has_a_row_per_image(tmp_path: Path) -> None:
    make_trained(tmp_path)
    classifier = regstudy.load(str(tmp_path))
    table = classifier.predict(images())
    assert list(table.columns) == ["class", "probability", "p(ant)", "p(bee)", "p(cat)"]
    chances = table[["p(ant)", "p(bee)", "p(cat)"]].to_numpy()
    assert np.allclose(chances.sum(1), 1, atol=1e-6)
    assert table["class"].tolist() == [CLASSES[number] for number in chances.argmax(1)]
    assert np.array_equal(table["probability"], chances.max(1))


def test_batches_do_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_trained(tmp_path)
    classifier = regstudy.load(tmp_path)
    whole = classifier.predict(images(7))
    monkeypatch.setattr("regstudy.production.classifier.BATCH_SIZE", 3)
    parts = classifier.predict(images(7))
    assert np.allclose(parts[["p(ant)", "p(bee)", "p(cat)"]], whole[["p(ant)", "p(bee)", "p(cat)"]], atol=1e-6)
    assert len(classifier.predict(images(7)[:0])) == 0


def test_large_images_come_in_small_batches(tmp_path: Path) -> None:
    make_trained(tmp_path)
    classifier = regstudy.load(tmp_path)
    assert classifier.batch_size == 256
    classifier.facts = classifier.facts.model_copy(update={"size": 2048})
    assert classifier.batch_size == 3


def test_the_temperature_divides_the_logits(tmp_path: Path) -> None:
    make_trained(tmp_path / "plain")
    make_trained(tmp_path / "cool", temperature=2.5)
    plain, cool = (regstudy.load(tmp_path / name).probabilities(images()).double() for name in ("plain", "cool"))
    assert torch.allclose((plain.log() / 2.5).softmax(1), cool, atol=1e-6)
    assert not torch.allclose(plain, cool, atol=1e-3)


def test_an_ensemble_averages_the_probabilities_of_its_members(tmp_path: Path) -> None:
    members = [f"seed_{number}/{WEIGHTS_FILE}" for number in (1, 2, 3)]
    facts = make_trained(tmp_path, members=members)
    found = regstudy.load(tmp_path).probabilities(images())
    single = []
    for member in members:
        write_stored(tmp_path, facts.model_copy(update={"members": (member,)}))
        single.append(regstudy.load(tmp_path).probabilities(images()))
    assert torch.allclose(found, torch.stack(single).mean(0), atol=1e-7)
    assert not torch.allclose(single[0], single[1], atol=1e-3)


def test_outputs_that_are_no_classes_are_left_out(tmp_path: Path) -> None:
    changes = {"model.name": "resnet18_dropout", "model.options": {"head_size": 7}}
    make_trained(tmp_path, changes, size=32)
    found = regstudy.load(tmp_path).probabilities(images(size=32))
    assert found.shape == (5, 3) and torch.allclose(found.sum(1), torch.ones(5))


@pytest.mark.parametrize("trainable", ["head", "all"])
def test_neither_initial_weights_nor_frozen_stages_are_needed(tmp_path: Path, trainable: str) -> None:
    """The file that the training started from may be gone."""
    changes = {"model.name": "small_cnn", "model.trainable": trainable, "model.weights": "gone.safetensors"}
    make_trained(tmp_path, {"model.name": "small_cnn"})
    config = make_config(changes)
    (tmp_path / "config.yaml").write_text(config_text(config.model_dump(mode="json")))
    assert len(regstudy.load(tmp_path).predict(images())) == 5


def test_loading_leaves_the_random_numbers_alone(tmp_path: Path) -> None:
    make_trained(tmp_path)
    before = torch.get_rng_state()
    regstudy.load(tmp_path)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_old_name_of_the_weights_is_read(tmp_path: Path) -> None:
    make_trained(tmp_path)
    wanted = regstudy.load(tmp_path).probabilities(images())
    (tmp_path / WEIGHTS_FILE).rename(tmp_path / "weights.safetensors")
    assert torch.equal(regstudy.load(tmp_path).probabilities(images()), wanted)


def as_version_0_1(out: Path, normalize: str) -> None:
    """What `regstudy train` of version 0.1.0 left behind."""
    make_trained(out, {"preprocessing.normalize": normalize, "preprocessing.crop": 10})
    (out / WEIGHTS_FILE).rename(out / "weights.safetensors")
    (out / PREPROCESSING_FILE).unlink()
    facts = {"outcome": "finished", "data": {"shape": [3, SIDE, SIDE], "classes": list(CLASSES), "positive": None}}
    (out / "metrics.json").write_text(json.dumps(facts))


@pytest.mark.parametrize("normalize", ["half", "imagenet", "none"])
def test_a_folder_of_0_1_0_loads_if_its_configuration_names_the_normalization(tmp_path: Path, normalize: str) -> None:
    make_trained(tmp_path / "new", {"preprocessing.normalize": normalize, "preprocessing.crop": 10})
    as_version_0_1(tmp_path / "old", normalize)
    old, new = (regstudy.load(tmp_path / name) for name in ("old", "new"))
    assert old.facts == new.facts
    assert torch.equal(old.probabilities(images()), new.probabilities(images()))


def measured_statistics(out: Path) -> None:
    as_version_0_1(out, "train")


def no_metrics(out: Path) -> None:
    as_version_0_1(out, "half")
    (out / "metrics.json").unlink()


def other_metrics(out: Path) -> None:
    as_version_0_1(out, "half")
    (out / "metrics.json").write_text('{"data": 3}')


def no_folder(_out: Path) -> None:
    pass


def a_file(out: Path) -> None:
    out.write_text("")


def an_empty_folder(out: Path) -> None:
    out.mkdir()


def a_study(out: Path) -> None:
    out.mkdir()
    (out / "study.db").write_bytes(b"SQLite format 3\0")


def an_unfinished_training(out: Path) -> None:
    make_trained(out)
    (out / WEIGHTS_FILE).unlink()
    (out / PREPROCESSING_FILE).unlink()
    (out / "checkpoint.pt").write_bytes(b"x")


def a_diverged_training(out: Path) -> None:
    an_unfinished_training(out)
    (out / "checkpoint.pt").unlink()
    (out / "metrics.json").write_text('{"outcome": "diverged", "best_epoch": 0}')


def no_weights(out: Path) -> None:
    make_trained(out)
    (out / WEIGHTS_FILE).unlink()


def cut_weights(out: Path) -> None:
    make_trained(out)
    (out / WEIGHTS_FILE).write_bytes((out / WEIGHTS_FILE).read_bytes()[:500])


def weights_of_another_network(out: Path) -> None:
    make_trained(out)
    config = make_config({"model.name": "small_cnn"})
    (out / "config.yaml").write_text(config_text(config.model_dump(mode="json")))


def weights_of_another_width(out: Path) -> None:
    make_trained(out)
    config = make_config({"model.options": {"width": 8}})
    (out / "config.yaml").write_text(config_text(config.model_dump(mode="json")))


def one_tensor_less(out: Path) -> None:
    make_trained(out)
    tensors = load_file(out / WEIGHTS_FILE)
    del tensors["6.bias"]
    save_file(tensors, out / WEIGHTS_FILE)


def own_code_that_is_gone(out: Path) -> None:
    make_trained(out)
    text = (out / "config.yaml").read_text()
    (out / "config.yaml").write_text(text.replace("tiny:cnn", "gone_module:net"))


def a_broken_configuration(out: Path) -> None:
    make_trained(out)
    (out / "config.yaml").write_text("model: {name: 3}")


def a_corrupt_file(out: Path) -> None:
    make_trained(out)
    (out / PREPROCESSING_FILE).write_text("{")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (measured_statistics, "older version.*mean and standard deviation.*Train again"),
        (no_metrics, "no preprocessing.json.*Train again"),
        (other_metrics, "no preprocessing.json.*Train again"),
        (no_folder, "There is no folder .*output folder of `regstudy train`"),
        (a_file, "is a file.*output folder of `regstudy train`"),
        (an_empty_folder, "no config.yaml"),
        (a_study, "folder of a study: export its winner"),
        (an_unfinished_training, "has not ended"),
        (a_diverged_training, "no weights to load.*diverged"),
        (no_weights, "no weights to load.*restore"),
        (cut_weights, "damaged"),
        (weights_of_another_network, "does not fit the network 'small_cnn'.*missing.*unknown"),
        (weights_of_another_width, "does not fit.*of another shape"),
        (one_tensor_less, r"1 tensor missing \(6\.bias\)"),
        (own_code_that_is_gone, "no module 'gone_module'"),
        (a_broken_configuration, "model.name"),
        (a_corrupt_file, "not JSON"),
    ],
)
def test_what_cannot_be_loaded_is_one_clear_paragraph(
    tmp_path: Path, spoil: Callable[[Path], None], words: str
) -> None:
    spoil(tmp_path / "out")
    with pytest.raises((FileError, ConfigError)) as error:
        regstudy.load(tmp_path / "out")
    assert re.search(f"(?s){words}", str(error.value)), error.value
    assert "model.weights" not in str(error.value)


@pytest.mark.parametrize("device", ["tpu", "cuda:99"])
def test_an_unknown_device_is_an_argument_error(tmp_path: Path, device: str) -> None:
    make_trained(tmp_path)
    with pytest.raises(ArgumentError, match="device"):
        regstudy.load(tmp_path, device=device)


@pytest.mark.parametrize(
    "wrong",
    [
        images().float(),
        images()[0],
        images(channels=1),
        images(size=10),
        images().permute(0, 2, 3, 1),
    ],
)
def test_forward_takes_exactly_what_preprocess_returns(tmp_path: Path, wrong: Tensor) -> None:
    make_trained(tmp_path)
    with pytest.raises(ArgumentError, match="uint8 of the shape N×3×12×12"):
        regstudy.load(tmp_path)(wrong)
