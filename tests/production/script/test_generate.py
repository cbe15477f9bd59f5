"""The exported script against regstudy itself: the same curves, only what is used, and nothing of ours imported."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from tiny import make_splits, random_images

from regstudy.config.run_config import RunConfig, parse_config
from regstudy.data import prepare
from regstudy.data.image_set import Splits
from regstudy.errors import ConfigError
from regstudy.models import BUILDERS
from regstudy.production.script.generate import training_script
from regstudy.training.determinism import REPEATABLE, WORKSPACE, repeatable
from regstudy.training.loop import shuffled_batches, train_step
from regstudy.training.run import run
from regstudy.training.schedules import learning_rates
from regstudy.training.train_state import start

pytestmark = pytest.mark.table

CPU = torch.device("cpu")
# the smallest images, in pixels, with which a network can be trained on two at a time
SMALLEST = {
    "dropout_cnn": 22, "small_cnn": 6, "svhn_vgg": 4, "svhn_resnet": 4, "svhn_resnet_deep": 8,
    "resnet18_dropout": 8, "resnet18_transfer": 8, "resnet50_transfer": 8,
}  # fmt: skip
OPTIMIZERS = ("sgd", "rmsprop", "adam", "adamw")


def configured(changes: dict[str, Any] | None = None) -> RunConfig:
    tree = {
        "data": {"name": "digits"},
        "preprocessing": {"normalize": "half"},
        "model": {"name": "tiny:cnn"},
        "optimizer": {"name": "adamw", "lr": 0.01},
        "training": {"batch_size": 8, "epochs": 4, "patience": None, "precision": "fp32"},
    }
    return parse_config(tree, "the configuration").replaced(changes or {})


def script_of(config: RunConfig, **facts: Any) -> tuple[ModuleType, str]:
    """The script as a module, and its text."""
    text = training_script(config, "# Written by a test\n", {"shape": [3, 12, 12], "positive": "b", **facts})
    module = ModuleType("exported")
    sys.modules["exported"] = module  # where dataclasses look for the names of types
    exec(compile(text, "exported.py", "exec"), module.__dict__)
    return module, text


def phases_of(module: ModuleType) -> tuple[Any, ...]:
    return getattr(module, "PHASES", None) or (module.Settings(),)


def losses_of_both(config: RunConfig, splits: Splits) -> tuple[list[float], list[float]]:
    """The losses of the steps of one epoch: of regstudy, and of the script."""
    module, _ = script_of(config)
    state = start(config, splits, CPU)
    state.model.train()
    batches = shuffled_batches(state)
    rates = learning_rates(config, [], len(batches))
    ours = [float(train_step(state, each, rate)[0][0]) / len(each) for each, rate in zip(batches, rates, strict=True)]
    train, settings = module.Images(splits.train.images, splits.train.labels, splits.train.classes), module.Settings()
    running = module.start(train, module.make_transform(train), settings, config.training.seed)
    running.model.train()
    theirs = []
    for step, places in enumerate(batches):
        rate = module.learning_rate(settings, [], step, len(batches))
        loss, _ = module.train_step(running, train.pixels[places], train.labels[places], settings, rate)
        theirs.append(float(loss))
    return ours, theirs


def test_every_network_is_in_the_table() -> None:
    assert SMALLEST.keys() == BUILDERS.keys()


@pytest.mark.table
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("network", SMALLEST)
def test_twenty_steps_of_every_network_and_optimizer_have_the_same_losses(network: str, optimizer: str) -> None:
    changes = {"model.name": network, "optimizer": {"name": optimizer, "lr": 1e-3}, "training.batch_size": 2}
    changes |= {"regularization.l2": 1e-3, "model.dropout": 0.2}
    train = random_images(40, 1, side=SMALLEST[network])
    splits = Splits(train, train.subset(torch.arange(12)), random_images(12, 2, side=SMALLEST[network]), "tiny", 0)
    ours, theirs = losses_of_both(configured(changes), splits)
    assert len(ours) == 20
    assert max(abs(a - b) for a, b in zip(ours, theirs, strict=True)) < 1e-4


FEATURES: dict[str, dict[str, Any]] = {
    "nothing": {},
    "l1": {"regularization.l1": 1e-3},
    "l2 coupled": {"regularization.l2": 0.1, "regularization.l2_mode": "coupled"},
    "l2 decoupled": {"regularization.l2": 0.1, "optimizer": {"name": "sgd"}, "regularization.l2_mode": "decoupled"},
    "label smoothing": {"regularization.label_smoothing": 0.1},
    "mix-up": {"regularization.mixup": 0.7},
    "cut-mix": {"regularization.cutmix": 0.7},
    "both": {"regularization.cutmix": 0.4, "regularization.mixup": 0.4, "regularization.label_smoothing": 0.1},
    "cutout": {"regularization.cutout": 4},
    "erasing": {"regularization.random_erasing": 0.5},
    "ema": {"regularization.ema": 0.9},
    "dropout": {"model.dropout": 0.5},
    "class weights": {"training.balance": "weights"},
    "weights and smoothing": {"training.balance": "weights", "regularization.label_smoothing": 0.1},
    "oversample": {"training.balance": "oversample"},
    "bf16": {"training.precision": "bf16"},
    "auto": {"training.precision": "auto"},
    "compile": {"training.compile": True},
    "compile a phase": {"phases": [{"training": {"compile": True, "epochs": 2}}, {"training": {"epochs": 2}}]},
    "deterministic": {"training.deterministic": True},
    "crop": {"preprocessing.crop": 10, "augmentation": {"strength": 0.5, "ops": ["crop"]}},
    "whole pixels": {"augmentation": {"strength": 0.5, "ops": ["shift", "flip"]}},
    "moves": {"augmentation": {"strength": 0.7, "ops": ["rotate", "scale", "shear", "crop"]}},
    "color": {"augmentation": {"strength": 0.7, "ops": ["color"]}},
    "erase": {"augmentation": {"strength": 0.7, "ops": ["erase", "flip", "rotate"]}},
    "measured statistics": {"preprocessing.normalize": "train"},
    "imagenet statistics": {"preprocessing.normalize": "imagenet"},
    "own statistics": {"preprocessing.normalize": {"mean": [0.1, 0.2, 0.3], "std": [1.0, 2.0, 3.0]}},
    "no normalization": {"preprocessing.normalize": "none"},
    "warm-up": {"schedule": {"name": "constant", "warmup_epochs": 2, "interval": "step"}},
    "step": {"schedule": {"name": "step", "step_size": 1, "gamma": 0.5}},
    "multi_step": {"schedule": {"name": "multi_step", "milestones": [1, 2], "warmup_epochs": 1}},
    "exponential": {"schedule": {"name": "exponential", "gamma": 0.7, "interval": "step"}},
    "linear": {"schedule": {"name": "linear", "final": 0.1}},
    "cosine": {"schedule": {"name": "cosine", "warmup_epochs": 1, "interval": "step"}},
    "plateau": {"schedule": {"name": "plateau", "patience": 0}, "training.tolerance": 0.5, "training.patience": 2},
    "own schedule": {"schedule": {"name": "lambda", "function": "schedules_of_tests:halved"}},
    "early stopping": {"training.patience": 1, "training.tolerance": 0.2, "training.epochs": 8},
    "early stopping by a share": {"training.patience": 2, "training.monitor": "accuracy", "training.epochs": 8},
    "minimum": {"training.patience": 2, "training.reference": "minimum", "training.tolerance": 0.05},
    "balanced accuracy": {"training.metric": "balanced_accuracy", "training.also": ["macro_f1", "worst_class_recall"]},
    "auroc": {"training.metric": "auroc"},
    "loss": {"training.metric": "loss"},
    "phases": {
        "phases": [
            {"training": {"epochs": 2}},
            {"optimizer": {"name": "sgd", "lr": 0.01}, "regularization": {"ema": 0.5}},
        ]
    },
    "an early end of a phase": {
        "phases": [
            {"training": {"epochs": 6, "patience": 1, "tolerance": 0.5}},
            {
                "augmentation": {"strength": 0.5, "ops": ["flip"]},
                "regularization": {"mixup": 0.5},
                "schedule": {"name": "cosine"},
            },
        ]
    },
}  # fmt: skip


@pytest.mark.parametrize("feature", FEATURES)
def test_whole_runs_with_each_feature_have_the_same_curves(feature: str, tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "schedules_of_tests.py").write_text("def halved(epochs):\n    return 0.5 ** epochs\n")
    monkeypatch.syspath_prepend(tmp_path)
    config = configured(FEATURES[feature])
    splits = make_splits(43, 15, learnable=True)
    done = run(config, splits, CPU)
    module, _ = script_of(config)
    parts = [module.Images(one.images, one.labels, one.classes) for one in (splits.train, splits.validation)]
    found = []
    measure = module.measure
    monkeypatch.setattr(module, "measure", lambda *given: found.append(measure(*given)) or found[-1])
    _, best = module.train_network(*parts, module.make_transform(parts[0]), config.training.seed)
    assert len(found) == len(done.result.records)
    for record, measured in zip(done.result.records, found, strict=True):
        for name, value in measured.items():
            assert value == pytest.approx(record.value(f"val_{name}"), abs=1e-6), name
    assert best.epoch == done.result.best_epoch
    for name, tensor in done.weights.items():
        assert torch.allclose(tensor, best.weights[name], atol=1e-6), name


@pytest.mark.parametrize("name", ["train_epoch", "measure"])
def test_a_loss_that_is_not_finite_ends_the_training_of_the_script_as_ours(name: str, monkeypatch: Any) -> None:
    config = configured()
    splits = make_splits(16, 8)
    module, _ = script_of(config)
    parts = [module.Images(one.images, one.labels, one.classes) for one in (splits.train, splits.validation)]
    lost = {"train_epoch": (float("nan"), 0.5), "measure": {"loss": float("inf"), "accuracy": 0.5}}
    monkeypatch.setattr(module, name, lambda *_: lost[name])
    _, best = module.train_network(*parts, module.make_transform(parts[0]), 0)
    assert best.epochs == 1 and not best.weights


@pytest.mark.parametrize("network", ["small_cnn", "dropout_cnn"])
def test_five_seeds_of_a_network_on_digits_give_the_same_curves(network: str, tmp_path: Path) -> None:
    changes = {"data": {"name": "digits", "size": 22, "train_limit": 200, "validation": 100}, "model.name": network}
    changes |= {"model.dropout": 0.3, "augmentation": {"strength": 0.3, "ops": ["rotate"]}, "training.batch_size": 32}
    config = configured(changes)
    splits = prepare(config.data, tmp_path)
    module, _ = script_of(config, shape=[1, 22, 22])
    parts = [module.Images(one.images, one.labels, one.classes) for one in (splits.train, splits.validation)]
    for seed in range(5):
        done = run(config.replaced({"training.seed": seed}), splits, CPU)
        _, best = module.train_network(*parts, module.make_transform(parts[0]), seed)
        assert best.epoch == done.result.best_epoch
        record = done.result.records[best.epoch - 1]
        assert best.measured == pytest.approx({"loss": record.val_loss, "accuracy": record.val_accuracy}, abs=1e-6)


def test_average_precision_is_of_the_positive_class() -> None:
    config = configured({"training.metric": "average_precision", "data.positive": "b"})
    _, text = script_of(config)
    assert 'POSITIVE = "b"' in text
    assert "auroc" not in text


@pytest.mark.parametrize("trainable", ["all", "last_stage", "head"])
@pytest.mark.parametrize(("suffix", "classes"), [("safetensors", 3), ("pt", 3), ("pt", 10), ("safetensors", 10)])
def test_stored_weights_and_frozen_stages(trainable: str, suffix: str, classes: int, tmp_path: Path) -> None:
    side = SMALLEST["svhn_resnet"]
    torch.manual_seed(5)
    tensors = BUILDERS["svhn_resnet"](channels=3, size=side, classes=classes).state_dict()  # perhaps of another head
    path = tmp_path / f"weights.{suffix}"
    save_file(tensors, path) if suffix == "safetensors" else torch.save(tensors, path)
    model = {"name": "svhn_resnet", "weights": str(path), "trainable": trainable, "dropout": 0.2}
    config = configured({"model": model, "training.batch_size": 4, "regularization.l2": 0.01})
    train = random_images(24, 1, side=side)
    splits = Splits(train, train, random_images(12, 2, side=side), "tiny", 0)
    ours, theirs = losses_of_both(config, splits)
    assert theirs == pytest.approx(ours, abs=1e-6)


OFF = {
    "l1": "shrink_l1", "l2": "decay_l2", "mix-up": "def mix(", "cutout": "def cut_out", "erasing": "erase_rectangles",
    "ema": "class WeightAverage", "class weights": "class_weights", "oversample": "balanced_order",
    "bf16": "autocast", "crop": "def augment", "color": "change_colors", "early stopping": "should_stop",
    "auroc": "def auroc", "balanced accuracy": "confusion", "phases": "PHASES", "cosine": "math.cos",
    "compile": "compile", "deterministic": "deterministic",
    "plateau": "def plateaus", "label smoothing": "label_smoothing", "measured statistics": "measured_statistics",
}  # fmt: skip


@pytest.mark.parametrize("feature", OFF)
def test_what_is_off_is_not_in_the_file(feature: str) -> None:
    _, plain = script_of(configured())
    assert OFF[feature] not in plain
    on = FEATURES["l2 decoupled" if feature == "l2" else feature]
    _, text = script_of(configured(on))
    assert OFF[feature] in text


def test_one_kind_of_mixing_does_not_bring_the_other() -> None:
    blended, pasted = (script_of(configured(FEATURES[name]))[1] for name in ("mix-up", "cut-mix"))
    assert "_rectangle" not in blended
    assert ".cutmix" not in blended
    assert "images.lerp" not in pasted
    assert ".mixup" not in pasted


def written(config: RunConfig, folder: Path, **facts: Any) -> Path:
    path = folder / "train.py"
    path.write_text(script_of(config, **facts)[1], encoding="utf-8")
    return path


SOURCES: dict[str, dict[str, Any]] = {
    "digits": {}, "street_digits": {"data.name": "street_digits"}, "svhn": {"data.name": "svhn"},
    "cifar10": {"data.name": "cifar10"},
    "some of cifar10": {"data.name": "cifar10", "data.options": {"classes": "cat, dog"}},
    "folder": {"data": {"name": "image_folder", "root": "x", "group": "(.)"}},
    "padded": {"data": {"name": "image_folder", "root": "x", "fit": "pad", "unreadable": "skip"}},
    "stretched": {"data": {"name": "image_folder", "root": "x", "fit": "stretch"}},
    "own": {"data.name": "mine:images", "data.options": {"count": 3}},
}  # fmt: skip
NETWORKS: dict[str, dict[str, Any]] = {
    **{name: {"model.name": name, "model.dropout": 0.2} for name in SMALLEST},
    "regularized blocks": {"model": {"name": "svhn_resnet", "block_dropout": 0.1, "stochastic_depth": 0.2}},
    "larger head": {"model": {"name": "resnet18_dropout", "options": {"head_size": 1000, "position": "head"}}},
    "normalized head": {"model": {"name": "resnet18_transfer", "options": {"head_batch_norm": True}}},
    "pretrained": {"model": {"name": "resnet50_transfer", "weights": "imagenet", "trainable": "head"}},
    "own": {"model": {"name": "tiny:cnn", "dropout": 0.1, "options": {"width": 8}}},
}


KINDS = {"feature": FEATURES, "images": SOURCES, "network": NETWORKS}
ALL = {f"{kind} {name}": one for kind, table in KINDS.items() for name, one in table.items()}


@pytest.mark.table
@pytest.mark.parametrize("changes", ALL.values(), ids=ALL)
def test_every_file_passes_ruff(changes: dict[str, Any], tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "schedules_of_tests.py").write_text("def halved(epochs):\n    return 0.5 ** epochs\n")
    (tmp_path / "mine.py").write_text("def images(part, config, root, count):\n    return None\n")
    monkeypatch.syspath_prepend(tmp_path)
    path = written(configured(changes), tmp_path)
    ruff = [sys.executable, "-m", "ruff"]
    checked = subprocess.run([*ruff, "check", "--isolated", path], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout
    form = [*ruff, "format", "--isolated", "--line-length", "120", "--diff", path]
    formatted = subprocess.run(form, capture_output=True, text=True)
    assert formatted.returncode == 0, formatted.stdout


ALLOWED = {"torch", "torchvision", "numpy", "PIL"}
BLOCKED = """
import importlib.metadata as metadata, re, runpy, sys
needed, waiting = set(), ["torch", "torchvision", "numpy", "pillow"]
while waiting:
    name = re.match(r"[A-Za-z0-9._-]+", waiting.pop())[0].lower().replace("_", "-")
    if name not in needed:
        needed.add(name)
        try:
            waiting += [one for one in metadata.requires(name) or () if "extra ==" not in one]
        except metadata.PackageNotFoundError:
            pass  # for another platform
for module, packages in metadata.packages_distributions().items():
    if not needed & {name.lower().replace("_", "-") for name in packages}:
        sys.modules.setdefault(module, None)  # importing it fails
sys.modules["regstudy"] = None
assert sys.modules["pandas"] is sys.modules["sklearn"] is sys.modules["scipy"] is sys.modules["pydantic"] is None
sys.argv[0] = "train.py"
runpy.run_path("train.py", run_name="__main__")
"""


def imported_by(text: str) -> set[str]:
    """The top-level packages that a script imports."""
    nodes = list(ast.walk(ast.parse(text)))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("source", [one for one in SOURCES if one != "own"])
def test_nothing_else_is_imported(source: str) -> None:
    _, text = script_of(configured(SOURCES[source]), own_validation=False)
    assert imported_by(text) - {"tiny"} <= ALLOWED | sys.stdlib_module_names


def test_the_script_runs_alone(tmp_path: Path) -> None:
    changes = {
        "model.name": "small_cnn",
        "data.validation": 12,
        "training.epochs": 2,
        "preprocessing.normalize": "train",
    }
    changes |= {
        "regularization.mixup": 0.5,
        "regularization.ema": 0.9,
        "augmentation": {"strength": 0.5, "ops": ["rotate"]},
    }
    written(configured(changes), tmp_path)
    for part, count in (("train", 40), ("test", 12)):
        images = random_images(count, 3, learnable=True)
        np.savez(tmp_path / f"{part}.npz", images=images.images.numpy(), labels=images.labels.numpy())
    command = [sys.executable, "-c", BLOCKED, "--data", ".", "--threads", "1", "--device", "cpu"]
    done = subprocess.run(command, cwd=tmp_path, env={"PATH": "/usr/bin"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "epoch 2: train loss" in done.stdout
    assert "Test: loss" in done.stdout
    assert torch.load(tmp_path / "model.pt", weights_only=True)


def test_only_training_steps_use_the_compiled_network(monkeypatch: Any) -> None:
    batches: list[int] = []

    def compiles(network: Any, dynamic: bool) -> Any:
        assert not dynamic
        return lambda images: batches.append(len(images)) or network(images)

    monkeypatch.setattr(torch, "compile", compiles)
    splits = make_splits(20, 8)
    module, _ = script_of(configured({"training.compile": True, "training.epochs": 1}))
    parts = [module.Images(one.images, one.labels, one.classes) for one in (splits.train, splits.validation)]
    module.train_network(*parts, module.make_transform(parts[0]), 0)
    assert batches == [8, 8, 4]


@pytest.mark.parametrize(("device", "changed"), [("cpu", False), ("cuda", True), ("mps", True)])
def test_a_deterministic_script_asks_torch_for_what_regstudy_asks(device: str, changed: bool, monkeypatch: Any) -> None:
    def settings() -> tuple[bool, ...]:
        cudnn = torch.backends.cudnn
        return torch.are_deterministic_algorithms_enabled(), cudnn.benchmark, cudnn.deterministic

    monkeypatch.setenv(WORKSPACE, "?")  # so that it is restored
    monkeypatch.delenv(WORKSPACE)
    module, text = script_of(configured({"training.deterministic": True}))
    assert "    make_repeatable(device)\n    train, validation = " in text  # before anything is on the device
    with settings_kept():
        module.make_repeatable(torch.device(device))
        assert (os.environ.get(WORKSPACE) in REPEATABLE) is changed
        found = settings()
    monkeypatch.setenv(WORKSPACE, REPEATABLE[0])
    with repeatable(configured({"training.deterministic": True}), torch.device(device)):
        assert settings() == found


@contextmanager
def settings_kept() -> Iterator[None]:
    """Afterwards torch's settings are as before."""
    cudnn = torch.backends.cudnn
    before = torch.are_deterministic_algorithms_enabled(), cudnn.benchmark, cudnn.deterministic
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        cudnn.benchmark, cudnn.deterministic = before[1:]


def test_groups_of_an_own_data_set_are_not_split_in_silence() -> None:
    config = configured({"data.name": "tiny:images"})
    with pytest.raises(ConfigError, match="came with groups of its own"):
        script_of(config, group="ImageSet.groups")
    script_of(config, group="ImageSet.groups", own_validation=True)


def test_groups_of_near_duplicates_cannot_be_made_without_regstudy() -> None:
    config = configured({"data.group": "near_duplicates"})
    with pytest.raises(ConfigError, match="near_duplicates needs regstudy"):
        script_of(config)
    script_of(config, own_validation=True)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"data.name": "table", "data.file": "a.csv", "data.image": "path", "data.label": "label"},
            "does not read tables",
        ),
        ({"model.name": "torchvision:resnet18"}, "cannot fit such a network"),
        ({"data.name": "mine:images", "data.channels": 3}, r"data\.channels: is for what your function returns"),
        ({"phases": [{}, {"training": {"seed": 5}}]}, r"one training\.seed for all phases"),
        (
            {"phases": [{"schedule": {"name": "lambda", "function": f"mine:{name}"}} for name in ("slow", "fast")]},
            r"one function for schedule\.function only",
        ),
    ],
)
def test_what_a_script_cannot_do_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        script_of(configured(changes))


@pytest.mark.parametrize("channels", [1, 3])
def test_folders_are_read_in_the_colors_of_the_study(tmp_path: Path, channels: int) -> None:
    changes = {"data.name": "image_folder", "data.size": 8, **({"data.channels": 1} if channels == 1 else {})}
    script, _ = script_of(configured(changes), parts={"train": "train"})
    (tmp_path / "train" / "a").mkdir(parents=True)
    Image.new("RGB", (9, 8), (200, 10, 30)).save(tmp_path / "train" / "a" / "1.png")
    assert script.read_part("train", tmp_path).pixels.shape == (1, channels, 8, 8)


def test_a_study_of_an_older_file_rule_needs_regstudy() -> None:
    config = configured({"data.name": "image_folder", "data.root": "x"})
    with pytest.raises(ConfigError, match=r"rule of version 0\.1\.0"):
        script_of(config, file_rule=1)
    script_of(config, file_rule=2)
