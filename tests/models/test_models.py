"""One contract for every network, and what is particular to each."""

from __future__ import annotations

import copy
import itertools
import sys
from collections.abc import Iterable
from functools import lru_cache
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import make_config
from torch import Tensor, nn

from regstudy import models
from regstudy.config.schema import Model
from regstudy.errors import ConfigError
from regstudy.models import BUILDER_REGULARIZERS, BUILDERS, build, parameter_counts, problems

SMALLEST = {  # pixels per side
    "dropout_cnn": 22,
    "resnet18_dropout": 1,
    "resnet18_transfer": 1,
    "resnet50_transfer": 1,
    "small_cnn": 6,
    "svhn_resnet": 1,
    "svhn_resnet_deep": 1,
    "svhn_vgg": 4,
}
PARAMETERS = {  # pixels per side, classes, and parameters with three channels, as the documentation has them
    "dropout_cnn": (32, 10, 361_034),
    "resnet18_dropout": (224, 2, 11_177_538),
    "resnet18_transfer": (200, 2, 11_177_538),
    "resnet50_transfer": (200, 2, 23_512_130),
    "small_cnn": (200, 2, 78_695_746),
    "svhn_resnet": (28, 10, 2_629_706),
    "svhn_resnet_deep": (28, 10, 11_025_994),
    "svhn_vgg": (28, 10, 42_924_234),
}
DOCUMENTATION = Path(__file__).parents[2] / "docs" / "networks.md"
TAKEN = [
    (name, rate)
    for name in sorted(BUILDERS)
    for rate in BUILDER_REGULARIZERS
    if rate in signature(BUILDERS[name]).parameters
]
MODULE_NUMBERS = itertools.count()  # imported modules stay in the interpreter


@pytest.fixture(scope="module", params=sorted(BUILDERS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def make(name: str, channels: int = 3, size: int = 24, classes: int = 5, **section: Any) -> nn.Module:
    torch.manual_seed(0)
    return build(Model(name=name, **section), channels, size, classes)


@lru_cache(maxsize=1)
def made(name: str) -> nn.Module:
    return make(name)


def ready(name: str, **rates: float) -> nn.Module:
    """The network for 3 channels, 24 pixels and 5 classes with the weights of `made`, which saves initialising it."""
    with torch.device("meta"):
        model = build(Model(name=name, **rates), 3, 24, 5)
    model.load_state_dict(copy.deepcopy(made(name).state_dict()), assign=True)  # fits with every regularizer
    return model.requires_grad_()


def batch(count: int = 2, channels: int = 3, size: int = 24) -> Tensor:
    return torch.randn(count, channels, size, size, generator=torch.Generator().manual_seed(1))


def test_the_contract_meets_every_network() -> None:
    assert set(SMALLEST) == set(BUILDERS), "say here how small the images of the new network may be"
    assert set(PARAMETERS) == set(BUILDERS), "say here how many parameters the new network has"
    assert {name for name, _ in TAKEN} == set(BUILDERS)


def test_the_number_of_parameters_is_the_reference(name: str) -> None:
    size, classes, expected = PARAMETERS[name]
    with torch.device("meta"):
        model = build(Model(name=name), 3, size, classes)
    assert parameter_counts(model) == (expected, expected)


def test_the_documentation_has_every_network_with_its_parameters(name: str) -> None:
    rows = [line for line in DOCUMENTATION.read_text(encoding="utf-8").splitlines() if line.startswith(f"| `{name}` |")]
    assert f" {PARAMETERS[name][2]:,} (3 channels" in rows[0]
    assert rows[0].endswith(f"| {SMALLEST[name] if SMALLEST[name] > 1 else 'any'} |")


@pytest.mark.parametrize(("channels", "size", "classes"), [(1, 28, 2), (4, None, 7)])
def test_the_output_is_one_number_per_class(name: str, channels: int, size: int | None, classes: int) -> None:
    size = size or SMALLEST[name]
    logits = make(name, channels, size, classes)(batch(2, channels, size))
    assert logits.shape == (2, classes) and logits.dtype == torch.float32 and torch.isfinite(logits).all()


def test_images_that_are_too_small_are_refused_in_words(name: str) -> None:
    smaller = SMALLEST[name] - 1
    if smaller:
        with pytest.raises(ConfigError, match=f"{name} needs images of at least {SMALLEST[name]} pixels .* {smaller}"):
            make(name, size=smaller)


def test_the_last_layer_has_one_output_per_class(name: str) -> None:
    with torch.device("meta"):
        heads = [module for module in make(name, classes=7).modules() if isinstance(module, nn.Linear)]
    assert heads[-1].out_features == 7


def test_gradient_reaches_every_parameter(name: str) -> None:
    model = ready(name)
    nn.functional.cross_entropy(model(batch(8)), torch.arange(8) % 5).backward()
    without = [label for label, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert without == []


@pytest.mark.parametrize(("name", "rate"), TAKEN)
def test_regularizers_act_in_training_and_are_silent_in_evaluation(name: str, rate: str) -> None:
    with_rate, without = ready(name, **{rate: 0.5}), ready(name)
    images = batch(8)
    assert not torch.equal(with_rate(images), with_rate(images))
    with_rate.load_state_dict(without.state_dict())
    expected = without.eval()(images)
    assert torch.equal(with_rate.eval()(images), expected) and torch.equal(with_rate(images), expected)


def test_without_regularizers_training_draws_nothing(name: str) -> None:
    model, images = ready(name), batch(4)
    before = torch.get_rng_state()
    assert torch.equal(model(images), model(images)) and torch.equal(torch.get_rng_state(), before)


def test_memory_order_changes_nothing(name: str) -> None:
    model, images = ready(name).eval(), batch(4)
    plain = model(images)
    ordered = model.to(memory_format=torch.channels_last)(images.to(memory_format=torch.channels_last))
    torch.testing.assert_close(ordered, plain, atol=1e-5, rtol=1e-4)


def test_the_global_seed_decides_the_weights(name: str) -> None:
    one, same = ready(name).state_dict(), make(name).state_dict()
    assert one.keys() == same.keys() and all(torch.equal(one[key], same[key]) for key in one)
    torch.manual_seed(1)
    other = build(Model(name=name), 3, 24, 5).state_dict()
    assert not all(torch.equal(one[key], other[key]) for key in one)


def test_images_too_small_for_the_network_are_refused() -> None:
    with pytest.raises(ConfigError, match="at least 22 pixels per side, but they have 21"):
        make("dropout_cnn", size=21)


def test_svhn_resnet_has_as_many_parameters_as_the_reference() -> None:
    model = make("svhn_resnet", 3, 28, 10)
    assert sum(parameter.numel() for parameter in model.parameters()) == 2_629_706


def test_svhn_resnet_halves_its_map_twice_and_has_no_pooling_before_the_end() -> None:
    model = make("svhn_resnet", 3, 28, 10)
    sizes: list[tuple[int, ...]] = []
    x = batch(2, 3, 28)
    for layer in model:
        x = layer(x)
        sizes.append(tuple(x.shape[1:]))
    assert list(dict.fromkeys(sizes)) == [(64, 28, 28), (128, 14, 14), (256, 7, 7), (256, 1, 1), (256,), (10,)]
    assert not any(isinstance(module, nn.MaxPool2d) for module in model.modules())


def test_relu_behind_the_pooling_is_relu_before_it_gradients_included() -> None:
    x = torch.randn(4, 3, 9, 9)
    outcomes = []
    for layers in ([nn.ReLU(), nn.MaxPool2d(2)], [nn.MaxPool2d(2), nn.ReLU()]):
        leaf = x.clone().requires_grad_()
        answer = nn.Sequential(*layers)(leaf)
        answer.square().sum().backward()
        outcomes.append((answer.detach(), leaf.grad))
    assert torch.equal(outcomes[0][0], outcomes[1][0])
    assert torch.equal(outcomes[0][1], outcomes[1][1])


def test_dropout_cnn_is_the_reference_network() -> None:
    model = make("dropout_cnn", 3, 32, 10, dropout=0.25)
    layers = [module for module in model.modules() if not isinstance(module, nn.Sequential)]
    convolutions = [module for module in layers if isinstance(module, nn.Conv2d)]
    dense = [module for module in layers if isinstance(module, nn.Linear)]
    assert [(c.in_channels, c.out_channels, c.kernel_size, c.padding) for c in convolutions] == [
        (3, 32, (3, 3), (0, 0)),
        (32, 64, (3, 3), (0, 0)),
        (64, 128, (3, 3), (0, 0)),
    ]
    assert [(d.in_features, d.out_features) for d in dense] == [(512, 512), (512, 10)]
    names = [type(module).__name__ for module in layers]
    assert names == ["Conv2d", "MaxPool2d", "ReLU"] * 3 + ["Flatten", "Dropout", "Linear", "ReLU", "Dropout", "Linear"]
    assert {module.p for module in layers if isinstance(module, nn.Dropout)} == {0.25}


OWN = """
from __future__ import annotations
from pathlib import Path
from typing import Literal
from torch import nn

number = 3

def build(channels, size, classes, *, width, dropout=0.0):
    first = nn.Linear(channels * size**2, width)
    return nn.Sequential(nn.Flatten(), nn.Dropout(dropout), first, nn.Linear(width, classes))

def plain(channels, size, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * size**2, classes))

def anything(channels, size, classes, **options):
    return plain(channels, size, classes)

def typed(channels, size, classes, rate: float = 0.5, mode: Literal["a", "b"] | None = None, folder: Path = "."):
    return plain(channels, size, classes)

def unresolved(channels, size, classes, width: NoSuchName = 1):
    return plain(channels, size, classes)
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module of one's own in the working folder, new each time."""
    module = f"own_networks_{next(MODULE_NUMBERS)}"
    (tmp_path / f"{module}.py").write_text(OWN)
    monkeypatch.setattr(sys, "path", list(sys.path))  # the working folder is added to it
    monkeypatch.chdir(tmp_path)
    return module


def messages(changes: dict[str, Any]) -> list[str]:
    found: Iterable[Any] = problems(make_config(changes))
    return [str(problem) for problem in found]


def test_a_network_of_ones_own_gets_its_options_and_the_dropout(own: str) -> None:
    section = {"name": f"{own}:build", "dropout": 0.25, "options": {"width": 6}}
    assert messages({"model": section}) == []
    model = models.build(Model(**section), 3, 8, 4)
    assert model[1].p == 0.25 and model[2].out_features == 6 and model(batch(2, 3, 8)).shape == (2, 4)


@pytest.mark.parametrize(
    ("function", "section", "expected"),
    [
        ("typed", {"options": {"rate": 1, "mode": None, "folder": "here"}}, []),
        ("typed", {"options": {"rate": True, "mode": "a"}}, ["'rate' must be a number, but it is True."]),
        ("typed", {"options": {"mode": "c"}}, ["the option 'mode' must be null or a or b, but it is 'c'."]),
        ("unresolved", {"options": {"width": "wide"}}, []),
        ("plain", {}, []),
        ("plain", {"dropout": 0.5}, ["model.dropout: must be 0 because"]),
        ("anything", {"dropout": 0.5, "options": {"whatever": 1}}, []),
        (
            "build",
            {"options": {"widht": 6, "width": 3}},
            ["model.options: there is no option 'widht'. Did you mean 'width'?"],
        ),
        ("build", {}, ["model.options: the option 'width' is required but missing."]),
        ("build", {"options": {"width": 1, "channels": 3}}, ["model.options: there is no option 'channels'"]),
        ("nothing", {}, ["Did you mean 'OWN:anything'?"]),
        ("number", {}, ["model.name: 'OWN:number' is not a function."]),
    ],
)
def test_what_is_wrong_with_a_network_of_ones_own_is_said(
    own: str, function: str, section: dict[str, Any], expected: list[str]
) -> None:
    found = messages({"model": {"name": f"{own}:{function}", **section}})
    assert len(found) == len(expected)
    for message, words in zip(found, expected, strict=True):
        assert words.replace("OWN", own) in message


@pytest.mark.parametrize("name", ["no_such_module:f", ":f", ".relative:f", "no_such_module:"])
def test_a_module_that_cannot_be_imported_is_a_problem_of_the_configuration(name: str) -> None:
    (message,) = messages({"model.name": name})
    assert message.startswith("model.name: ") and name in message


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"name": "svhn_resnett"}, "there is no model 'svhn_resnett'. Did you mean 'svhn_resnet'?"),
        ({"name": "svhn_resnet", "options": {"depth": 3}}, "there is no option 'depth'"),
        ({"name": "svhn_resnet", "options": {"dropout": 0.5}}, "there is no option 'dropout'"),
        (
            {"name": "svhn_vgg", "block_dropout": 0.1},
            "model.block_dropout: must be 0 because 'svhn_vgg' does not support",
        ),
        (
            {"name": "small_cnn", "stochastic_depth": 0.1},
            "Networks that do: resnet18_dropout, svhn_resnet, svhn_resnet_deep.",
        ),
        (
            {"name": "resnet18_dropout", "options": {"position": "block"}},
            "position: there is no value 'block'. Did you mean 'blocks'? Allowed: blocks, head, none.",
        ),
        (
            {"name": "resnet18_dropout", "options": {"head_size": "1000"}},
            "the option 'head_size' must be a whole number or null, but it is '1000'.",
        ),
        ({"name": "resnet18_dropout", "options": {"head_size": True}}, "a whole number or null, but it is True."),
        ({"name": "svhn_resnet", "options": {"size": "x"}}, "there is no option 'size'"),
        ({"name": "resnet18_transfer", "options": {"head_batch_norm": 1}}, "must be true or false, but it is 1."),
        (
            {"name": "svhn_resnet", "weights": "imagenet"},
            "'svhn_resnet' has no pretrained weights by name (resnet18_dropout",
        ),
        ({"name": "resnet18_transfer", "weights": "imagnet"}, "Did you mean 'imagenet'? Allowed: IMAGENET1K_V1"),
        ({"name": "svhn_resnet", "weights": "no/such.safetensors"}, "there is no file no/such.safetensors in /"),
    ],
)
def test_what_is_wrong_with_a_built_in_network_is_said(section: dict[str, Any], words: str) -> None:
    (message,) = messages({"model": section})
    assert words in message


def test_all_that_is_wrong_with_a_network_is_said_together() -> None:
    section = {"name": "svhn_vgg", "block_dropout": 0.1, "weights": "gone.pt", "options": {"depth": 3}}
    paths = [message.partition(":")[0] for message in messages({"model": section})]
    assert sorted(paths) == ["model.block_dropout", "model.options", "model.weights"]


@pytest.mark.parametrize(
    ("weights", "position", "head_size"), [("imagenet", "head", None), (None, "none", 1000), (None, "blocks", 2)]
)
def test_a_valid_section_has_no_problems(weights: str | None, position: str, head_size: int | None) -> None:
    section = {"weights": weights, "trainable": "head", "options": {"position": position, "head_size": head_size}}
    assert messages({"model": {"name": "resnet18_dropout", "dropout": 0.3, **section}}) == []


def test_outputs_beyond_the_classes_cannot_be_balanced_by_weights() -> None:
    section = {"name": "resnet18_dropout", "options": {"head_size": 1000}}
    (message,) = messages({"model": section, "training.balance": "weights"})
    assert message.startswith("model.options: head_size cannot be combined with training.balance: weights")
    phases = [{}, {"training": {"balance": "weights"}}]
    assert messages({"model": section, "phases": phases}) == [message]
    assert messages({"model": section, "training.balance": "oversample"}) == []


def test_an_unknown_network_is_refused_when_built_too() -> None:
    with pytest.raises(ConfigError, match=r"no model 'svhn_resnett'\. Did you mean 'svhn_resnet'"):
        build(Model(name="svhn_resnett"), 3, 28, 10)
