"""Where the regularizers of a network act, and that nothing else about it changes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import resnet18, resnet50
from torchvision.ops import StochasticDepth

from regstudy.config.schema import Model
from regstudy.errors import ConfigError
from regstudy.models import build
from regstudy.models.residual import ResidualBlock, regularize, resnet18_of_blocks


def make(name: str, classes: int = 4, size: int = 32, **section: Any) -> nn.Module:
    torch.manual_seed(0)
    return build(Model(name=name, **section), 3, size, classes)


def images(count: int = 4, size: int = 32) -> Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(1))


def places(network: nn.Module) -> dict[str, float]:
    """Names and rates of all dropout and stochastic depth that is on."""
    kinds = (nn.Dropout, StochasticDepth)
    return {name: module.p for name, module in network.named_modules() if isinstance(module, kinds) and module.p}


@pytest.mark.parametrize(
    ("name", "section", "expected"),
    [
        ("svhn_resnet", {"dropout": 0.2}, {"7": 0.2}),
        (
            "svhn_resnet",
            {"block_dropout": 0.3},
            dict.fromkeys(["3.0.between", "3.1.between", "4.0.between", "4.1.between"], 0.3),
        ),
        (
            "svhn_resnet",
            {"stochastic_depth": 0.2},
            {"3.0.branch": 0.05, "3.1.branch": 0.1, "4.0.branch": 0.15, "4.1.branch": 0.2},
        ),
        (
            "svhn_resnet_deep",
            {"stochastic_depth": 0.6, "dropout": 0.5},
            {f"{3 + block // 2}.{block % 2}.branch": (block + 1) / 10 for block in range(6)} | {"8": 0.5},
        ),
        ("svhn_vgg", {"dropout": 0.5}, {"dense.2": 0.5, "dropout": 0.5}),
        ("small_cnn", {"dropout": 0.5, "block_dropout": 0.25}, {"block_dropout": 0.25, "dropout": 0.5}),
        ("resnet18_transfer", {"dropout": 0.4}, {"dropout": 0.4}),
        ("resnet18_dropout", {"dropout": 0.5}, {f"layer{1 + b // 2}.{b % 2}.after": 0.5 for b in range(8)}),
        ("resnet18_dropout", {"dropout": 0.5, "options": {"position": "head"}}, {"dropout": 0.5}),
        ("resnet18_dropout", {"dropout": 0.5, "options": {"position": "none"}}, {}),
        (
            "resnet18_dropout",
            {"block_dropout": 0.1, "options": {"position": "none"}},
            {f"layer{1 + b // 2}.{b % 2}.between": 0.1 for b in range(8)},
        ),
    ],
)
def test_where_regularizers_act(name: str, section: dict[str, Any], expected: dict[str, float]) -> None:
    with torch.device("meta"):
        assert places(make(name, **section)) == pytest.approx(expected)


def test_svhn_vgg_is_the_reference_network() -> None:
    with torch.device("meta"):
        network = make("svhn_vgg", size=28)
    layers = [type(m).__name__ for m in network.modules() if not list(m.children())]
    convolutions = ["Conv2d", "ReLU"]
    assert layers == [
        *(convolutions * 2 + ["MaxPool2d"] + convolutions * 3 + ["MaxPool2d", "AvgPool2d", "Flatten"]),
        *(["Linear", "ReLU", "Dropout"] * 2 + ["Linear"]),
    ]


def test_small_cnn_is_the_reference_network() -> None:
    network = make("small_cnn", classes=2)
    layers = [type(m).__name__ for m in network.children()]
    assert layers == [
        *(["Conv2d", "ReLU"] * 2 + ["MaxPool2d", "Dropout", "Flatten", "Linear", "ReLU", "Dropout", "Linear"])
    ]
    assert [m.out_features for m in network.modules() if isinstance(m, nn.Linear)] == [128, 2]
    assert not torch.allclose(network(images()).sum(1), torch.ones(4))  # logits, no softmax


@pytest.mark.parametrize("name", ["resnet18_dropout", "resnet18_transfer"])
def test_resnet18_is_torchvisions_to_the_bit(name: str) -> None:
    ours = make(name, classes=6)
    torch.manual_seed(0)
    theirs = resnet18(num_classes=6)
    own, other = ours.state_dict(), theirs.state_dict()
    assert list(own) == list(other) and all(torch.equal(own[key], other[key]) for key in own)
    assert torch.equal(ours(images()), theirs(images()))


def test_resnet50_has_torchvisions_tensors() -> None:
    with torch.device("meta"):
        ours, theirs = make("resnet50_transfer", classes=6).state_dict(), resnet50(num_classes=6).state_dict()
    assert [(key, t.shape) for key, t in ours.items()] == [(key, t.shape) for key, t in theirs.items()]


def test_a_normalized_head_has_its_batch_normalization_before_the_dropout() -> None:
    network = make("resnet18_transfer", dropout=0.3, options={"head_batch_norm": True})
    assert [type(m).__name__ for m in list(network.children())[-3:]] == ["BatchNorm1d", "Dropout", "Linear"]
    assert network(images()).shape == (4, 4)


def test_a_larger_head_has_outputs_for_no_class() -> None:
    network = make("resnet18_dropout", classes=2, options={"head_size": 1000})
    logits = network(images())
    assert logits.shape == (4, 1000)
    nn.functional.cross_entropy(logits, torch.tensor([0, 1, 0, 1])).backward()
    with pytest.raises(ConfigError, match="head_size is 3, but the images have 4 classes"):
        make("resnet18_dropout", options={"head_size": 3})


def test_a_position_that_does_not_exist_is_refused_when_built() -> None:
    with pytest.raises(ConfigError, match="position must be blocks, head or none, but it is 'bloks'"):
        make("resnet18_dropout", options={"position": "bloks"})


def test_a_skipped_block_is_its_shortcut() -> None:
    block = ResidualBlock(8, 8)
    x = torch.rand(64, 8, 5, 5)
    block.branch = StochasticDepth(0.5, "row")
    torch.manual_seed(0)
    skipped = (block(x) == x).flatten(1).all(1)
    assert 16 < skipped.sum() < 48  # each image by itself; 32 expected, 4 standard deviations of 4 either way


def test_the_block_is_torchvisions_as_long_as_nothing_is_on() -> None:
    network, reference = resnet18_of_blocks(), resnet18()
    reference.load_state_dict(network.state_dict())
    regularize(network, 0.5, 0.5, 0.5)
    assert len(places(network)) == 24
    regularize(network)
    assert places(network) == {} and torch.equal(network(images()), reference(images()))
