"""Weights to start from: what loads, what may differ, and what is said where it does not fit."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from http.client import IncompleteRead
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torchvision.models import ResNet50_Weights, resnet18

from regstudy.config.schema import Model
from regstudy.errors import ConfigError
from regstudy.models import build

SIZE = 24


def make(name: str = "svhn_resnet", classes: int = 5, channels: int = 3, seed: int = 0, **section: Any) -> nn.Module:
    torch.manual_seed(seed)
    return build(Model(name=name, **section), channels, SIZE, classes)


@pytest.fixture(scope="module")
def donor() -> dict[str, Tensor]:
    """Weights of an svhn_resnet for five classes whose running statistics are not the initial ones."""
    network = make(seed=7)
    network(torch.randn(4, 3, SIZE, SIZE))
    return network.state_dict()


def same(network: nn.Module, tensors: dict[str, Tensor], but: str = " ") -> bool:
    own = network.state_dict()
    return all(torch.equal(own[key], tensors[key]) for key in own if not key.startswith(but))


def safe(tensors: dict[str, Tensor], path: Path) -> str:
    save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, path)
    return str(path)


def pickled(content: Any, path: Path) -> str:
    torch.save(content, path)
    return str(path)


@pytest.mark.parametrize(("ending", "write"), [("safetensors", safe), ("pt", pickled), ("pth", pickled)])
def test_a_file_with_all_tensors_loads_exactly(
    donor: dict[str, Tensor], tmp_path: Path, ending: str, write: Callable[[Any, Path], str]
) -> None:
    network = make(weights=write(donor, tmp_path / f"weights.{ending}"), dropout=0.5, block_dropout=0.2)
    assert same(network, donor)


def test_a_file_is_found_from_the_working_folder_and_from_home(
    donor: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    safe(donor, tmp_path / "own.safetensors")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert same(make(weights="own.safetensors"), donor) and same(make(weights="~/own.safetensors"), donor)


@pytest.mark.parametrize("lost", [[], ["8.bias"], ["8.weight", "8.bias"]])
def test_another_head_stays_as_it_was_initialised(donor: dict[str, Tensor], tmp_path: Path, lost: list[str]) -> None:
    tensors = {key: tensor for key, tensor in donor.items() if key not in lost}
    classes = 5 if lost else 3
    network = make(classes=classes, weights=safe(tensors, tmp_path / "w.safetensors"))
    fresh = make(classes=classes).state_dict()
    assert same(network, donor, but="8.")
    assert all(torch.equal(network.state_dict()[key], fresh[key]) for key in ("8.weight", "8.bias"))


def test_loading_draws_nothing_from_the_global_generator(donor: dict[str, Tensor], tmp_path: Path) -> None:
    path = safe(donor, tmp_path / "w.safetensors")
    make(weights=path)
    after = torch.get_rng_state()
    make()
    assert torch.equal(torch.get_rng_state(), after)


def test_the_loaded_body_can_be_frozen(donor: dict[str, Tensor], tmp_path: Path) -> None:
    network = make(classes=3, trainable="head", weights=safe(donor, tmp_path / "w.safetensors"))
    network.train()(torch.randn(4, 3, SIZE, SIZE))
    assert same(network, donor, but="8.")


@pytest.mark.parametrize("name", ["resnet18_transfer", "resnet18_dropout"])
def test_files_of_torchvisions_networks_load(name: str, tmp_path: Path) -> None:
    torch.manual_seed(3)
    theirs = resnet18().state_dict()
    path = pickled(theirs, tmp_path / "resnet18.pth")
    assert same(make(name, classes=2, weights=path), theirs, but="fc.")
    if name == "resnet18_transfer":
        normalized = make(name, classes=2, weights=path, options={"head_batch_norm": True})
        assert all(torch.equal(normalized.state_dict()[k], theirs[k]) for k in theirs if not k.startswith("fc."))
        back = safe(normalized.state_dict(), tmp_path / "ours.safetensors")
        assert same(make(name, classes=2, weights=back), theirs, but="fc.")
    else:
        whole = make(name, classes=2, weights=path, options={"head_size": 1000})
        assert same(whole, theirs)


def test_old_files_without_counters_of_batches_load(donor: dict[str, Tensor], tmp_path: Path) -> None:
    old = {key: tensor for key, tensor in donor.items() if not key.endswith("num_batches_tracked")}
    network = make(weights=safe(old, tmp_path / "old.safetensors"))
    assert all(torch.equal(network.state_dict()[key], old[key]) for key in old)


def without(key: str) -> Callable[[dict[str, Tensor]], dict[str, Tensor]]:
    return lambda tensors: {name: tensor for name, tensor in tensors.items() if name != key}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without("0.weight"), "Missing in the file (1): 0.weight (64×3×3×3)."),
        (lambda t: t | {"odd.bias": torch.ones(2, 1)}, "Unknown to the network (1): odd.bias (2×1)."),
        (
            lambda t: t | {"0.weight": torch.ones(64, 1, 3, 3)},
            "Different shape (1): 0.weight (64×1×3×3 in the file, 64×3×3×3 in the network).",
        ),
        (
            lambda t: {f"module.{key}": tensor for key, tensor in t.items()},
            "): 0.weight (64×3×3×3), 1.weight (64), 1.bias (64), …. Unknown to the network (",
        ),
    ],
)
def test_what_does_not_fit_is_named_with_its_shapes(
    donor: dict[str, Tensor], tmp_path: Path, change: Any, words: str
) -> None:
    path = safe(change(dict(donor)), tmp_path / "w.safetensors")
    with pytest.raises(ConfigError) as caught:
        make(weights=path)
    message = str(caught.value)
    assert message.startswith(f"model.weights: {path} does not fit 'svhn_resnet'. ") and words in message
    assert "Only the head may differ" in message and "\n" not in message


class CannotBeUnpickledSafely:
    def __reduce__(self) -> Any:
        return os.mkdir, ("executed",)


@pytest.mark.parametrize(
    ("file", "write", "words"),
    [
        ("w.safetensors", lambda path: path.write_bytes(b"garbage" * 9), "cannot be read as weights (SafetensorError)"),
        ("w.safetensors", lambda path: path.write_bytes(b""), "cannot be read as weights"),
        ("w.pt", lambda path: path.write_bytes(b"garbage" * 9), "cannot be read as weights (UnpicklingError)"),
        ("w.pt", lambda path: path.write_bytes(b""), "cannot be read as weights (EOFError)"),
        ("w.pt", lambda path: torch.save(nn.Linear(2, 2), path), "never loaded because they can run code"),
        ("w.pth", lambda path: torch.save(CannotBeUnpickledSafely(), path), "never loaded because they can run code"),
        (
            "w.pt",
            lambda path: torch.save({"epoch": 3, "state_dict": {"a": torch.ones(1)}}, path),
            "not a plain mapping of names to tensors: it contains the keys epoch, state_dict. Save only the weights",
        ),
        ("w.pt", lambda path: torch.save([torch.ones(1)], path), "it contains a list."),
        ("w.pt", lambda path: torch.save({}, path), "it contains a dict."),
        ("w.pt", lambda path: path.mkdir(), "is a folder"),
        (
            "w.bin",
            lambda path: path.write_bytes(b"x"),
            "must end in .safetensors, .pt or .pth.",
        ),
    ],
)
def test_a_file_that_holds_no_weights_is_refused_in_one_paragraph(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, write: Any, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / file)
    with pytest.raises(ConfigError) as caught:
        make(weights=str(tmp_path / file))
    message = str(caught.value)
    assert message.startswith("model.weights: ") and words in message and file in message and "\n" not in message
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("name", "weights", "words"),
    [
        (
            "svhn_resnet",
            "imagenet",
            "'svhn_resnet' has no pretrained weights by name (resnet18_dropout, resnet18_transfer",
        ),
        ("resnet18_transfer", "IMAGENET1K_V2", "Did you mean 'IMAGENET1K_V1'? Allowed: IMAGENET1K_V1, imagenet."),
        ("resnet50_transfer", "imagenet1k", "You can also give a file that ends in .safetensors, .pt or .pth."),
        ("svhn_resnet", "/nowhere/w.safetensors", "there is no file /nowhere/w.safetensors."),
        ("svhn_resnet", "~nobody_of_that_name/w.pt", "there is no home folder of ~nobody_of_that_name"),
    ],
)
def test_names_that_do_not_exist_are_refused_when_built(name: str, weights: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught, torch.device("meta"):
        make(name, weights=weights)
    assert words in str(caught.value)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder where torch keeps published weights, empty here."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    return tmp_path / "hub" / "checkpoints"


def test_published_weights_are_downloaded_once_with_their_checksum(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []
    torch.manual_seed(9)
    theirs = resnet18().state_dict()

    def download(url: str, path: str, checksum: str, progress: bool) -> None:  # noqa: ARG001
        asked.append((url, checksum))
        torch.save(theirs, path)

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    for weights in ("imagenet", "IMAGENET1K_V1"):
        assert same(make("resnet18_transfer", classes=2, weights=weights), theirs, but="fc.")
    assert asked == [("https://download.pytorch.org/models/resnet18-f37072fd.pth", "f37072fd")]
    assert [path.name for path in hub.iterdir()] == ["resnet18-f37072fd.pth"]


@pytest.mark.parametrize("error", [URLError("no route"), IncompleteRead(b""), RuntimeError("invalid hash"), OSError()])
def test_a_failing_download_says_how_to_get_the_file(
    hub: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    with pytest.raises(ConfigError) as caught:
        make("resnet18_transfer", weights="imagenet")
    message = str(caught.value)
    assert "resnet18-f37072fd.pth on another machine and copy it there" in message and str(hub) in message
    assert "\n" not in message


def test_imagenet_means_the_weights_that_torchvision_recommends(
    hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # without building the network that they are for
    def fail(url: str, *_: Any, **__: Any) -> None:
        raise OSError(url)

    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    for weights, expected in [("imagenet", "V2"), ("IMAGENET1K_V1", "V1")]:
        with pytest.raises(ConfigError) as caught, torch.device("meta"):
            make("resnet50_transfer", weights=weights)
        assert ResNet50_Weights[f"IMAGENET1K_{expected}"].url in str(caught.value)
    assert list(hub.iterdir()) == []


STAGELESS = """
from torch import nn

def network(channels, size, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * size**2, classes))
"""


def test_a_network_without_stages_takes_only_what_fits_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "stageless_network.py").write_text(STAGELESS)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    first = make("stageless_network:network", seed=4)
    path = safe(first.state_dict(), tmp_path / "w.safetensors")
    assert same(make("stageless_network:network", weights=path), first.state_dict())
    with pytest.raises(ConfigError, match=r"Different shape .* but this network declares none"):
        make("stageless_network:network", classes=6, weights=path)


CONFIG = """
data: {name: digits, size: 8, train_limit: 40, validation: 40}
model: {name: small_cnn, dropout: 0.2}
training: {batch_size: 20, epochs: 1}
"""


def test_what_train_writes_is_what_the_next_training_starts_from(regstudy: Any, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(CONFIG)
    assert regstudy("train", "config.yaml", "-o", "first").returncode == 0
    changes = ["--set", "model.weights=first/model.safetensors", "--set", "model.trainable=head"]
    assert regstudy("train", "config.yaml", "-o", "second", *changes).returncode == 0
    first, second = (load_file(tmp_path / folder / "model.safetensors") for folder in ("first", "second"))
    assert {key for key in first if not torch.equal(first[key], second[key])} == {"fc.weight", "fc.bias"}


def test_weights_that_are_not_there_end_the_command_before_any_work(regstudy: Any, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(CONFIG)
    done = regstudy("train", "config.yaml", "-o", "out", "--set", "model.weights=gone.safetensors")
    assert done.returncode == 2 and "model.weights: there is no file gone.safetensors" in done.stderr
    assert not (tmp_path / "out" / "metrics.json").exists()
