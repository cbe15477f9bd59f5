"""Networks of torchvision and timm: any channels, size and classes, rates, stages, weights, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from tiny import make_config
from torch import nn
from torchvision.ops import StochasticDepth

from regstudy.config.schema import Model
from regstudy.errors import ConfigError
from regstudy.models import build, libraries, parameter_counts, problems
from regstudy.models.output_check import check_output
from regstudy.models.stages import stages_of

NETWORKS = {  # the size of the images, and a module of the stage before the head
    "torchvision:resnet18": (28, "layer4"),
    "torchvision:mobilenet_v3_small": (28, "classifier.0"),
    "torchvision:efficientnet_b0": (28, "features.8"),
    "torchvision:squeezenet1_1": (28, "features.12"),
    "torchvision:shufflenet_v2_x0_5": (28, "conv5"),
    "torchvision:convnext_tiny": (32, "features.7"),
    "torchvision:vit_b_32": (32, "encoder.layers.encoder_layer_11"),
    "timm:resnet10t": (28, "layer4"),
    "timm:mobilenetv3_small_050": (28, "blocks.5"),
    "timm:efficientnet_b0": (28, "blocks.6"),
    "timm:convnext_atto": (32, "stages.3"),
    "timm:test_vit": (32, "blocks.5"),
    "timm:regnetx_002": (28, "s4"),
}
RATED = [  # networks with both rates
    "torchvision:efficientnet_b0",
    "timm:efficientnet_b0",
    "timm:resnet10t",
]
SOURCES = ("torchvision:mobilenet_v3_small", "torchvision:vit_b_32", "timm:mobilenetv3_small_050", "timm:test_vit")


def make(name: str, channels: int = 1, size: int = 28, classes: int = 100, **section: Any) -> nn.Module:
    torch.manual_seed(3)
    return build(Model(name=name, **section), channels, size, classes)


def messages(**section: Any) -> list[str]:
    return [str(problem) for problem in problems(make_config({"model": section}))]


@pytest.mark.table
@pytest.mark.parametrize("name", NETWORKS)
def test_any_channels_size_and_classes_and_the_stages(name: str) -> None:
    size, body = NETWORKS[name]
    network = make(name, size=size)
    stages = stages_of(network)
    assert network(torch.rand(2, 1, size, size)).shape == (2, 100)
    assert body in stages[-2] and all(stages)
    head, last = (parameter_counts(make(name, size=size, trainable=part)).trainable for part in ("head", "last_stage"))
    assert head % 100 == 0 and head < last < parameter_counts(network).total


@pytest.mark.table
@pytest.mark.parametrize("name", RATED)
def test_the_rates_reach_the_network_and_zero_is_off(name: str) -> None:
    images = torch.rand(4, 1, 28, 28)
    for rates, random in (({}, False), ({"dropout": 0.5}, True), ({"stochastic_depth": 0.5}, True)):
        network = make(name, **rates)
        for module in network.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
                nn.init.ones_(module.weight)  # of branches that start at zero
        first, second = network(images), network(images)
        assert torch.equal(first, second) != random, rates
    blocks = [m.p for m in make(name, stochastic_depth=0.4).modules() if isinstance(m, StochasticDepth)]
    assert not blocks or (max(blocks) == pytest.approx(0.4) and blocks == sorted(blocks))


def published(name: str) -> dict[str, torch.Tensor]:
    """The tensors of a network as it is published: three channels, its own size, a thousand classes."""
    library, _, network = name.partition(":")
    torch.manual_seed(7)
    found = timm.create_model(network) if library == "timm" else torchvision.models.get_model(network)
    return {key: tensor.clone().contiguous() for key, tensor in found.state_dict().items()}


@pytest.mark.table
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("name", SOURCES)
def test_published_weights_fit_other_images(name: str, channels: int, tmp_path: Path) -> None:
    theirs, path = published(name), str(tmp_path / "w.safetensors")
    save_file(theirs, path)
    network = make(name, channels, 32, weights=path)
    own = network.state_dict()
    first = next(f"{key}.weight" for key, m in network.named_modules() if isinstance(m, nn.Conv2d))
    different = {key for key in own if own[key].shape != theirs[key].shape or not torch.equal(own[key], theirs[key])}
    head = {key for key in own if any(key.startswith(f"{part}.") for part in stages_of(network)[-1])}
    assert different - {key for key in own if "pos_embed" in key} == head | ({first} if channels != 3 else set())
    if channels == 1:
        assert torch.allclose(own[first], theirs[first].sum(1, keepdim=True), atol=1e-5)
    save_file({key: tensor.clone().contiguous() for key, tensor in own.items()}, path)
    again = make(name, channels, 32, weights=path).state_dict()
    assert all(torch.equal(again[key], own[key]) for key in own)


@pytest.mark.table
@pytest.mark.parametrize("name", ["torchvision:mobilenet_v3_small", "timm:mobilenetv3_small_050"])
def test_weights_of_another_network_are_refused(name: str, tmp_path: Path) -> None:
    save_file({"layer.weight": torch.zeros(3, 3)}, tmp_path / "w.safetensors")
    with pytest.raises(ConfigError, match=r"does not fit '.*Missing in the file .*Unknown to the network \(1\)"):
        make(name, weights=str(tmp_path / "w.safetensors"))


@pytest.mark.parametrize("name", ["torchvision:mobilenet_v3_small", "timm:mobilenetv3_small_050"])
def test_weights_that_cannot_be_fetched_say_what_to_put_where(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError("no route")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    with pytest.raises(ConfigError) as caught:
        make(name, weights="imagenet")
    message = str(caught.value)
    assert "\n" not in message and str(tmp_path) in message and "https://" in message
    assert "copy it there as" in message and "set model.weights to the path of that file" in message


@pytest.mark.table
@pytest.mark.parametrize(
    ("name", "works"),
    [("torchvision:alexnet", 64), ("torchvision:vit_b_32", 32), ("timm:convnext_atto", 32), ("timm:test_vit", 32)],
)
def test_images_that_are_too_small_are_refused_with_a_size_that_works(name: str, works: int) -> None:
    with pytest.raises(ConfigError, match=f"28×28 pixels.*Images of {works} pixels per side work"):
        make(name)
    assert make(name, size=works)


def test_an_image_that_patches_do_not_cover_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"patches of 16 pixels.*or set model\.options\.patch_size.*Images of 32"):
        make("timm:vit_tiny_patch16_224")
    assert make("timm:vit_tiny_patch16_224", options={"patch_size": 7})


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"name": "torchvision:resnet35"}, "Did you mean 'torchvision:resnet50' or 'torchvision:resnet34'"),
        ({"name": "timm:resnet19"}, "timm has no network 'resnet19'. Did you mean 'timm:resnet18'"),
        ({"name": "torchvision:resnet18", "dropout": 0.1}, "model.dropout: must be 0"),
        ({"name": "timm:ghostnet_050", "stochastic_depth": 0.1}, "model.stochastic_depth: must be 0"),
        ({"name": "timm:resnet10t", "options": {"channels": 1}}, "there is no option 'channels'"),
        ({"name": "timm:resnet10t", "options": {"drop_rate": 1}}, "there is no option 'drop_rate'"),
        ({"name": "timm:resnet10t", "weights": "imagnet"}, "Did you mean 'imagenet'"),
        ({"name": "resnet34"}, "There is 'timm:resnet34' or 'torchvision:resnet34'."),
    ],
)
def test_what_is_wrong_is_said(section: dict[str, Any], words: str) -> None:
    (message,) = messages(**section)
    assert words in message


def test_timm_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_name: str) -> None:
        raise ModuleNotFoundError("No module named 'timm'", name="timm")

    libraries._names.cache_clear()
    monkeypatch.setattr(libraries, "import_module", missing)
    (message,) = messages(name="timm:resnet18_not_asked_before")
    assert "the package timm is not installed. Install it with pip install 'regstudy[timm]'" in message


class Returning(nn.Module):
    """A network that returns what it is told to."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value

    def forward(self, _images: torch.Tensor) -> Any:
        return self.value


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (torch.zeros(2, 9), "a tensor of the shape 2×9. Give its last layer 10 outputs"),
        (torch.zeros(2, 10, 7, 7), "a tensor of the shape 2×10×7×7. End it with pooling"),
        (torch.zeros(()), "it returned a single number."),
        ((torch.zeros(2, 10), torch.zeros(2, 5)), "a tuple of 2×10, 2×5. Return only the tensor"),
        ({"logits": torch.zeros(2, 10)}, "an object of the type dict with the keys logits. Return only"),
        (None, "an object of the type NoneType"),
    ],
)
def test_what_a_network_returns_is_checked(value: Any, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_output(Returning(value), "mine:network", 1, 28, 10)
    assert "so 2×10 numbers for a batch of 2 images of 1×28×28 pixels" in str(caught.value)
    assert words in str(caught.value)


def test_further_outputs_are_left_to_the_doctor() -> None:
    check_output(Returning(torch.zeros(2, 1000)), "mine:network", 1, 28, 2)


def test_the_check_changes_no_random_number_and_no_statistics() -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    state = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    torch.manual_seed(1)
    check_output(network, "mine:network", 1, 8, 4)
    after = torch.rand(3)
    torch.manual_seed(1)
    assert torch.equal(after, torch.rand(3)) and network.training
    assert all(torch.equal(tensor, state[key]) for key, tensor in network.state_dict().items())


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    code = "from torch import nn\ndef network(channels, size, classes):\n    return nn.Sequential("
    code += "nn.Flatten(), nn.Linear(channels * size**2, 8), nn.ReLU(), nn.Linear(8, classes))\n"
    (tmp_path / "own_headed.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield "own_headed:network"


def test_the_head_of_a_network_without_stages_is_its_last_layer(own_module: str) -> None:
    network = make(own_module, trainable="head")
    assert [name for name, p in network.named_parameters() if p.requires_grad] == ["3.weight", "3.bias"]
    with pytest.raises(ConfigError, match="declares no stages"):
        make(own_module, trainable="last_stage")
