"""Which part of a network learns, and that the rest stands still."""

from __future__ import annotations

import copy
from inspect import signature
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from regstudy.config.schema import Model
from regstudy.errors import ConfigError
from regstudy.models import BUILDER_REGULARIZERS, BUILDERS, build, parameter_counts
from regstudy.models.stages import freeze, staged, stages_of

SIZE = 24
LEARNING = {  # prefixes of what learns in head and in last_stage
    "dropout_cnn": (["14"], ["11", "14"]),
    "resnet18_dropout": (["fc"], ["layer4", "fc"]),
    "resnet18_transfer": (["fc"], ["layer4", "fc"]),
    "resnet50_transfer": (["fc"], ["layer4", "fc"]),
    "small_cnn": (["fc"], ["dense", "fc"]),
    "svhn_resnet": (["8"], ["4", "8"]),
    "svhn_resnet_deep": (["9"], ["5", "9"]),
    "svhn_vgg": (["fc"], ["dense", "fc"]),
}


def images() -> Tensor:
    return torch.randn(8, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


def within(label: str, prefixes: list[str]) -> bool:
    return any(label == prefix or label.startswith(f"{prefix}.") for prefix in prefixes)


@pytest.mark.parametrize("trainable", ["head", "last_stage"])
@pytest.mark.parametrize("name", sorted(BUILDERS))
def test_only_the_last_stages_change_in_training(name: str, trainable: Any) -> None:
    rates = {rate: 0.3 for rate in BUILDER_REGULARIZERS if rate in signature(BUILDERS[name]).parameters}
    torch.manual_seed(0)
    network = build(Model(name=name, trainable=trainable, **rates), 3, SIZE, 5)
    expected = LEARNING[name][trainable == "last_stage"]
    assert {k for k, p in network.named_parameters() if p.requires_grad} == {
        k for k, _ in network.named_parameters() if within(k, expected)
    }
    before = copy.deepcopy(network.state_dict())
    network.eval()
    network.train()
    learners = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(learners, lr=0.1)
    nn.functional.cross_entropy(network(images()), torch.arange(8) % 5).backward()
    assert all((p.grad is not None) == p.requires_grad for p in network.parameters())
    optimizer.step()
    changed = {key for key, value in network.state_dict().items() if not torch.equal(value, before[key])}
    assert changed == {key for key in before if within(key, expected)}  # running statistics included


@pytest.mark.parametrize("name", sorted(BUILDERS))
def test_every_network_declares_stages(name: str) -> None:
    with torch.device("meta"):
        network = build(Model(name=name), 3, SIZE, 5)
    stages = stages_of(network)
    assert len(stages) >= 3
    named = [label for label, _ in network.named_parameters() if within(label, [n for stage in stages for n in stage])]
    assert named == [label for label, _ in network.named_parameters()], "every parameter belongs to a stage"
    head = [label for label, _ in network.named_parameters() if within(label, list(stages[-1]))]
    assert head == [label for label, _ in list(network.named_parameters())[-2:]]
    assert set(LEARNING) == set(BUILDERS)


def frozen_resnet(**section: Any) -> nn.Module:
    torch.manual_seed(0)
    return build(Model(name="svhn_resnet", trainable="head", **section), 3, SIZE, 5)


def test_frozen_parts_stay_in_evaluation_mode_and_the_head_does_not() -> None:
    network = frozen_resnet(dropout=0.5, block_dropout=0.5, stochastic_depth=0.5)
    for _ in range(2):
        network.train()
        modes = {label: module.training for label, module in network.named_modules()}
        assert {label for label, training in modes.items() if training} == {"", "7", "8"}
        network.eval()
        assert not any(module.training for module in network.modules())


def test_frozen_dropout_is_silent_and_the_heads_is_not() -> None:
    x = images()
    inner, outer = frozen_resnet(block_dropout=0.5).train(), frozen_resnet(dropout=0.5).train()
    assert torch.equal(inner(x), inner(x)) and not torch.equal(outer(x), outer(x))


def test_freezing_changes_neither_names_nor_values_nor_answers() -> None:
    torch.manual_seed(0)
    free = build(Model(name="svhn_resnet"), 3, SIZE, 5)
    frozen = frozen_resnet()
    assert list(free.state_dict()) == list(frozen.state_dict())
    frozen.load_state_dict(free.state_dict())
    assert torch.equal(free.eval()(images()), frozen.eval()(images()))
    assert isinstance(frozen, nn.Sequential)
    assert parameter_counts(frozen) == (parameter_counts(free).total, 256 * 5 + 5)


def test_a_copy_freezes_its_own_parts() -> None:
    network = frozen_resnet()
    twin = copy.deepcopy(network)
    network.eval()
    twin.train()
    assert twin.get_submodule("8").training and not twin.get_submodule("1").training
    assert not network.get_submodule("8").training
    twin(images())
    assert all(
        torch.equal(a, b) for a, b in zip(network.state_dict().values(), twin.state_dict().values(), strict=True)
    )


class Nested(nn.Module):
    """A network of one's own whose stages lie deeper, with a parameter outside of all of them."""

    def __init__(self, stages: Any) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.body = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))
        self.head = nn.Linear(4, 2)
        if stages is not None:
            self.stages = stages

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.head(self.body(x * self.scale))
        return result


@pytest.mark.parametrize(
    ("trainable", "stages", "learning", "training"),
    [
        ("head", ("body", "head"), {"head.weight", "head.bias"}, {"", "head"}),
        ("head", ["body", ["body.2", "head"]], {"head.weight", "head.bias"}, {"", "body", "body.2", "head"}),
        (
            "last_stage",
            ("body.0", ("body.1",), "head"),
            {"body.1.weight", "body.1.bias", "head.weight", "head.bias"},
            {"", "body", "body.1", "head"},
        ),
    ],
)
def test_stages_may_lie_within_submodules(trainable: Any, stages: Any, learning: set[str], training: set[str]) -> None:
    network = Nested(stages)
    freeze(network, trainable, "mine:network")
    assert {label for label, p in network.named_parameters() if p.requires_grad} == learning
    assert {label for label, module in network.train().named_modules() if module.training} == training
    assert not any(module.training for module in network.eval().modules())


def test_what_a_network_has_frozen_itself_stays_frozen() -> None:
    network = Nested(("body", "head"))
    network.head.bias.requires_grad_(False)
    freeze(network, "head", "mine:network")
    assert {label for label, p in network.named_parameters() if p.requires_grad} == {"head.weight"}
    assert parameter_counts(network) == (1 + 20 + 8 + 10, 8)


@pytest.mark.parametrize(
    ("trainable", "stages", "words"),
    [
        ("head", None, "'mine:network' declares no stages, .* set model.trainable to all"),
        ("head", (), "declares no stages"),
        ("last_stage", ("head",), "declares only 1 stage,"),
        ("head", ("body", "haed"), "Nested.stages is wrong: there is no submodule 'haed'. Did you mean 'head'"),
        ("head", "head", "Nested.stages must be a tuple of names of submodules, but it is 'head'"),
        ("head", ("head", "body.2"), "body.2 of 'mine:network' has no trainable parameters"),
        ("head", ("body", 3), "there is no submodule '3'"),
    ],
)
def test_stages_that_cannot_be_used_are_refused(trainable: Any, stages: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        freeze(Nested(stages), trainable, "mine:network")


def test_all_needs_no_stages_and_a_child_called_stages_is_none() -> None:
    network = Nested(None)
    freeze(network, "all", "mine:network")
    assert parameter_counts(network).trainable == parameter_counts(network).total and type(network) is Nested
    network.add_module("stages", nn.Linear(1, 1))
    assert stages_of(network) == ()
    assert stages_of(staged(Nested(None), "body", ("head",))) == (("body",), ("head",))
