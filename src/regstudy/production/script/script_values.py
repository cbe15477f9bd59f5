"""The values of a script: what one configuration, and what the study knows of its images, put in their places."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from regstudy.config import schema
from regstudy.config.plugins import is_plugin
from regstudy.config.run_config import RunConfig
from regstudy.data.file_rule import LATEST_RULE
from regstudy.data.groups import NEAR_DUPLICATES
from regstudy.data.pictures import DEFAULT_SIZE
from regstudy.data.pool import OWN_GROUPS
from regstudy.data.preprocessing import IMAGENET
from regstudy.errors import Problem, config_error
from regstudy.metrics import metric
from regstudy.models.libraries import is_library_network
from regstudy.models.torchvision_resnet import PRETRAINED
from regstudy.production.script.script_parts.plain_settings import Settings
from regstudy.training.schedules import first_decay
from regstudy.training.train_state import extra_metrics

INSTEAD = "Export YAML and use `regstudy train`."
DEFAULT_FOLDERS = {"cifar10": "data/cifar10", "svhn": "data/svhn", "image_folder": "data"}


def check_scriptable(config: RunConfig, facts: Mapping[str, Any]) -> None:
    """ConfigError if a script cannot do without regstudy what a configuration says."""
    problems = []
    if config.data.group == NEAR_DUPLICATES and not facts.get("own_validation"):
        problems.append(
            Problem(
                "data.group",
                f"{NEAR_DUPLICATES} needs regstudy to find the groups, so a plain script cannot make the same split."
                " Export YAML and use `regstudy train`, or put the validation images into a folder of their own.",
            )
        )
    if config.data.name == "image_folder" and facts.get("file_rule", LATEST_RULE) != LATEST_RULE:
        words = "the study chose its image files by the rule of version 0.1.0, so a plain script might read others."
        problems.append(Problem("data.name", f"{words} {INSTEAD}"))
    if config.data.name == "table":
        words = (
            "a plain script does not read tables. Export YAML and use `regstudy train`, or put the images into folders."
        )
        problems.append(Problem("data.name", words))
    if is_library_network(config.model.name):
        words = "a plain script cannot fit such a network to its images. Export YAML and use `regstudy train`."
        problems.append(Problem("model.name", f"{config.model.name}: {words}"))
    if facts.get("group") == OWN_GROUPS and not facts.get("own_validation"):
        words = "came with groups of its own, which a plain script does not keep together."
        problems.append(Problem("data.name", f"{config.data.name} {words} {INSTEAD}"))
    if is_plugin(config.data.name):
        words = "is for what your function returns if it is not an ImageSet, and a plain script takes an ImageSet only."
        given = [name for name in ("channels", "image", "label") if getattr(config.data, name) is not None]
        problems += [Problem(f"data.{name}", f"{words} Let it return one, or export YAML.") for name in given]
    phases = config.in_phases()
    if len({one.schedule.function for one in phases if isinstance(one.schedule, schema.Lambda)}) > 1:
        problems.append(Problem("phases", f"a plain script has one function for schedule.function only. {INSTEAD}"))
    if len({one.training.seed for one in phases}) > 1:
        problems.append(Problem("phases", f"a plain script has one training.seed for all phases. {INSTEAD}"))
    if problems:
        raise config_error("The configuration, as a plain script,", problems)


def constants(config: RunConfig, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The constants of a script by name; see `script_parts.plain_settings`."""
    data, own = config.data, is_plugin(config.data.name)
    parts = dict(facts.get("parts") or {})
    chosen = metric(config.training.metric)
    return {
        "DATASET": data.name,
        "OWN_LOADER": own,
        "DATA": data.root or DEFAULT_FOLDERS.get(data.name, f"data/{data.name.rpartition(':')[2]}"),
        "TRAIN_FOLDER": parts.get("train") or ".",
        "VALIDATION_FOLDER": parts.get("validation", ""),
        "TEST_FOLDER": parts.get("test", ""),
        "CLASSES": data.options.get("classes", "") if data.name == "cifar10" else "",
        "SIZE": data.size or (DEFAULT_SIZE if data.name == "image_folder" else 32),
        "FIT": data.fit,
        "CHANNELS": data.channels or 3,
        "SKIP_UNREADABLE": data.unreadable == "skip",
        "GROUP": "" if facts.get("own_validation") else data.group or "",
        "VALIDATION": data.validation,
        "TRAIN_LIMIT": data.train_limit,
        "SPLIT_SEED": data.split_seed,
        "POSITIVE": data.positive or facts.get("positive") or "",
        "OPTIONS": dict(data.options) if own else {},
        "SECTION": data.model_dump(mode="json") if own else {},
        "CROP": config.preprocessing.crop,
        **_normalization(config.preprocessing.normalize, facts),
        "WEIGHTS": _weights(config.model),
        "TRAINABLE": config.model.trainable,
        "SEED": config.training.seed,
        "METRIC": chosen.name,
        "MAXIMIZE": chosen.maximize,
        "MEASURED": extra_metrics(config),
        "DETERMINISTIC": any(phase.training.deterministic for phase in config.in_phases()),
    }


def settings_of(phase: RunConfig) -> Settings:
    """What one phase of training uses."""
    optimizer, schedule = phase.optimizer, phase.schedule
    regularization, augmentation, training = phase.regularization, phase.augmentation, phase.training
    values: dict[str, Any] = optimizer.model_dump() | schedule.model_dump() | regularization.model_dump()
    values |= augmentation.model_dump() | training.model_dump()
    monitor = metric(training.monitor)
    patience = training.patience
    if patience is not None and isinstance(schedule, schema.Plateau):
        patience += schedule.patience + 1  # it starts when that of the schedule has run out
    on = augmentation.strength and augmentation.ops
    values |= {
        "optimizer": optimizer.name,
        "learning_rate": optimizer.lr,
        "schedule": schedule.name,
        "plateau_patience": values["patience"] if not isinstance(schedule, schema.Plateau) else schedule.patience,
        "patience": patience,
        "monitor": monitor.name,
        "monitor_maximize": monitor.maximize,
        "grace": first_decay(phase) if patience is not None else 0,
        "decoupled": isinstance(optimizer, schema.AdamW)
        if regularization.l2_mode is None
        else regularization.l2_mode == "decoupled",
        "strength": augmentation.strength if on else 0.0,
        "operations": augmentation.ops if on else (),
    }
    return Settings(**{name: value for name, value in values.items() if name in Settings.__dataclass_fields__})


def network_arguments(model: schema.Model, taken: set[str]) -> dict[str, Any]:
    """The options and rates that a builder with these parameters is called with."""
    rates = {"dropout": model.dropout, "block_dropout": model.block_dropout, "stochastic_depth": model.stochastic_depth}
    return {name: rate for name, rate in rates.items() if name in taken} | dict(model.options)


def literal(value: Any) -> str:
    """A plain value as Python source."""
    if isinstance(value, str):
        text = repr(value)
        return text if text[0] == '"' or '"' in text or "\\'" in text else f'"{text[1:-1]}"'
    if isinstance(value, tuple):
        return "(" + ", ".join(map(literal, value)) + ("," if len(value) == 1 else "") + ")"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{literal(key)}: {literal(one)}" for key, one in value.items()) + "}"
    return repr(value)


def _normalization(normalize: Any, facts: Mapping[str, Any]) -> dict[str, Any]:
    if normalize == "train":
        return {"NORMALIZE": "train"}
    if isinstance(normalize, schema.ChannelStatistics):
        mean, std = normalize.mean, normalize.std
    elif normalize == "imagenet":
        mean, std = IMAGENET
    else:
        channels = int((facts.get("shape") or [3])[0])
        mean, std = ((0.5,) * channels,) * 2 if normalize == "half" else ((0.0,) * channels, (1.0,) * channels)
    return {"NORMALIZE": "values", "MEAN": tuple(mean), "STD": tuple(std)}


def _weights(model: schema.Model) -> str:
    """A file, or the name by which torchvision knows the weights."""
    kind = PRETRAINED.get(model.name)
    if kind is None or model.weights is None:
        return model.weights or ""
    names = {"imagenet": kind.DEFAULT, **{member.name: member for member in kind}}
    return str(names[model.weights]) if model.weights in names else model.weights
