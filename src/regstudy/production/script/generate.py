"""A configuration as a training script of its own: regstudy's functions in one file, without what is turned off.

The file consists of the functions that regstudy trains with, and of those in `script_parts`, which take the place of
its configuration, data sets and loop. `folding` leaves out the branches that the configuration never takes, `bundling`
the functions that are not used then.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from regstudy.config import schema
from regstudy.config.plugins import is_plugin
from regstudy.config.run_config import RunConfig
from regstudy.data.decoding import FORMATS, Policy
from regstudy.models import BUILDERS
from regstudy.production.script.bundling import Bundle
from regstudy.production.script.folding import fold
from regstudy.production.script.script_notes import notes_on
from regstudy.production.script.script_parts.plain_settings import Settings
from regstudy.production.script.script_values import (
    check_scriptable,
    constants,
    literal,
    network_arguments,
    settings_of,
)

PARTS = "regstudy.production.script.script_parts"
SETTINGS, NETWORK, LOOP = f"{PARTS}.plain_settings", f"{PARTS}.plain_network", f"{PARTS}.plain_loop"
# in the order of the file, each with the title above it; a title of None goes on with the one before
ORDER: dict[str, str | None] = {
    SETTINGS: "Settings",
    "regstudy.data.file_rule": "Images",
    "regstudy.data.decoding": None,
    f"{PARTS}.matlab": None,
    f"{PARTS}.plain_images": None,
    "regstudy.data.split": None,
    f"{PARTS}.plain_split": None,
    "regstudy.data.preprocessing": None,
    "regstudy.training.color": "Changes of training images",
    "regstudy.training.erasing": None,
    "regstudy.training.augmentation": None,
    "regstudy.training.mixing": None,
    "regstudy.training.class_balance": "Balance of the classes",
    "regstudy.models.sizes": "Network",
    "regstudy.models.residual": None,
    "regstudy.models.stages": None,
    "regstudy.models.small_cnn": None,
    "regstudy.models.dropout_cnn": None,
    "regstudy.models.svhn_vgg": None,
    "regstudy.models.svhn_resnet": None,
    "regstudy.models.torchvision_resnet": None,
    NETWORK: None,
    "regstudy.training.decay": "Optimizer, weight penalties, learning rate, early stopping",
    "regstudy.training.ema": None,
    f"{PARTS}.plain_optimizer": None,
    "regstudy.training.precision": "Training",
    "regstudy.training.scores": None,
    LOOP: None,
    f"{PARTS}.plain_training": None,
}
LINE = 120  # characters
INSTEAD = {"ConfigError": "ValueError", "DataError": "ValueError", "Regularization": "Settings"}
HOMES = {"Settings": SETTINGS}
CHECKED = re.compile(r"^ +(?:check_size|check_sizes)\(.*\)\n", re.MULTILINE)  # what a study has checked
BLIND = re.compile(r"^( +except Exception\b.*:)  # ", re.MULTILINE)  # on purpose: the comment says why
STAGES = re.compile(r"return staged\((\w+), .*\)$", re.MULTILINE)
UNUSED_METHODS = ("state_dict", "load_state_dict", "__str__")  # of our classes, for checkpoints and caches


def training_script(config: RunConfig, heading: str, facts: Mapping[str, Any]) -> str:
    """The text of the script; ``heading`` are comments, ``facts`` what the study knows of its images.

    ConfigError if a script cannot do without regstudy what the configuration says.
    """
    check_scriptable(config, facts)
    known = constants(config, facts)
    phases = [settings_of(phase) for phase in config.in_phases()]
    bundle = Bundle(partial(_read, config, known, phases), INSTEAD, HOMES)
    bundle.add(f"{PARTS}.plain_training", "main")
    sections = _sections(bundle, phases)
    imports = bundle.import_block(lambda module: module.split(".")[0] in sys.stdlib_module_names)
    start = 'if __name__ == "__main__":\n    main()\n'
    text = "\n".join([heading + notes_on(config, known), imports, "\n\n".join([*sections, start])])
    return BLIND.sub(r"\1  # noqa: BLE001 - ", text)


def _sections(bundle: Bundle, phases: list[Settings]) -> list[str]:
    """The code by module in the order of the file, under its titles."""
    unknown = bundle.items.keys() - ORDER.keys()
    if unknown:
        raise ValueError(f"The script needs {', '.join(sorted(unknown))}, which have no place in it.")
    used = set(re.findall(r"\b(?:settings|regularization)\.(\w+)", bundle.text))
    found, title = [], None
    for module, own_title in ORDER.items():
        title = own_title or title
        code = bundle.code(module)
        if module == SETTINGS:
            code = _settings_code(code, phases, used)
        if code:
            found.append((f"# {title}\n\n\n" if title else "") + code)
            title = None
    return found


def _settings_code(code: str, phases: list[Settings], used: set[str]) -> str:
    """The class with the values of the first phase, without fields that are not used, and what later phases change."""
    first, kept = asdict(phases[0]), []
    for line in code.split("\n"):
        field = re.match(r"    (\w+): ", line)
        if field is None:
            kept.append(line)
        elif field[1] in used:
            kept.append(_with_value(line, first[field[1]]))
    text = "\n".join(kept)
    if len(phases) == 1:
        return text
    rows = []
    for phase in phases:
        changes = {name: value for name, value in asdict(phase).items() if name in used and value != first[name]}
        row = f"    Settings({_written(changes).removeprefix(', ')}),\n"
        each = "".join(f"        {_written({name: value})[2:]},\n" for name, value in changes.items())
        rows.append(row if len(row) <= LINE else f"    Settings(\n{each}    ),\n")
    return text.replace("(Settings(),)", "(\n" + "".join(rows) + ")")


def _with_value(line: str, value: Any) -> str:
    """An assignment of one line with another value; the comment stays. A long mapping has a line for each key."""
    text = literal(value)
    if isinstance(value, dict) and len(text) > LINE // 2:
        text = "{\n" + "".join(f"    {literal(key)}: {literal(one)},\n" for key, one in value.items()) + "}"
    return re.sub(r"(= )[^#]*?(  # .*)?$", lambda found: f"{found[1]}{text}{found[2] or ''}", line, count=1)


def _read(config: RunConfig, known: Mapping[str, Any], phases: list[Settings], module: str) -> str:
    """The text of a module with the values of a configuration in it, and without the branches that it never takes."""
    text = CHECKED.sub("", _text(module))
    if module == SETTINGS:
        return _with_values(text, known)
    if not known["WEIGHTS"] and known["TRAINABLE"] == "all":
        text = STAGES.sub(r"return \1", text)
    text = _with_own_code(text, module, config)
    if module == LOOP:
        lacking = {
            "class_weights": all(one.balance != "weights" for one in phases),
            "average": not any(one.ema for one in phases),
            "compiled": not any(one.compile for one in phases),
        }
        for name in (name for name, is_lacking in lacking.items() if is_lacking):
            text = re.sub(rf"^    {name}: .*\n", "", text, flags=re.MULTILINE)
    cases = [{**known, **_known_in(module, config, one), "settings": one, "PHASES": phases} for one in phases]
    return _without_methods(fold(text, cases))


def _known_in(module: str, config: RunConfig, settings: Settings) -> dict[str, Any]:
    """The values of arguments that the functions of a module are always called with."""
    if module == "regstudy.training.augmentation":
        names = ("WHOLE_PIXEL_OPS", "MOVING_OPS")
        constants_there = {name: getattr(sys.modules[module], name) for name in names}
        return {"ops": settings.operations, "strength": settings.strength, **constants_there}
    if module == "regstudy.training.mixing":
        return {"regularization": settings}
    if module == "regstudy.data.decoding":
        return {"policy": Policy(config.data.size or 64, config.data.fit, FORMATS)}
    if module.startswith("regstudy.models.") and config.model.name in BUILDERS:
        return _arguments(config.model)
    return {}


def _arguments(model: schema.Model) -> dict[str, Any]:
    """What the builder of the network is called with, its defaults included."""
    parameters = inspect.signature(BUILDERS[model.name]).parameters
    defaults = {name: one.default for name, one in parameters.items() if one.default is not one.empty}
    return defaults | network_arguments(model, set(parameters))


def _with_own_code(text: str, module: str, config: RunConfig) -> str:
    """With the calls of the configured network and of the user's own functions in their places."""
    if module == NETWORK:
        return _with_call(text, "build_network", "channels, side, classes", *_network_call(config.model))
    if module == f"{PARTS}.plain_images" and is_plugin(config.data.name):
        return _with_call(text, "own_function", "part, config, root, **options", *_own(config.data.name))
    if module == f"{PARTS}.plain_optimizer":
        names = {one.schedule.function for one in config.in_phases() if isinstance(one.schedule, schema.Lambda)}
        for name in sorted(names)[:1]:
            return _with_call(text, "own_factor", "elapsed", *_own(name))
    return text


def _network_call(model: schema.Model) -> tuple[str, str, str]:
    """The import and the name of a builder, and further arguments."""
    if is_plugin(model.name):
        rates = {
            name: value
            for name, value in network_arguments(model, {"dropout", "block_dropout", "stochastic_depth"}).items()
            if value or name in model.options
        }
        return (*_own(model.name), _written(rates))
    builder = BUILDERS[model.name]
    given = network_arguments(model, set(inspect.signature(builder).parameters))
    shown = {name: value for name, value in given.items() if value or name in model.options}
    return f"from {builder.__module__} import {model.name}", model.name, _written(shown)


def _own(name: str) -> tuple[str, str]:
    module, _, function = name.partition(":")
    return f"import {module}  # your own code", f"{module}.{function}"


def _written(arguments: Mapping[str, Any]) -> str:
    return "".join(f", {name}={literal(value)}" for name, value in arguments.items())


def _with_call(text: str, stub: str, arguments: str, imported: str, function: str, more: str = "") -> str:
    """With ``return function(arguments)`` as the body of a function that stands for it."""
    lines = text.splitlines(keepends=True)
    node = next(one for one in ast.parse(text).body if isinstance(one, ast.FunctionDef) and one.name == stub)
    assert node.end_lineno is not None
    last = node.body[-1].lineno - 1
    given = arguments.replace("channels, side, classes", "channels=channels, size=side, classes=classes")
    call = f"    return {function}({given}{more})\n"
    body = "".join([*lines[:last], call, *lines[node.end_lineno :]])
    return body.replace(
        "from __future__ import annotations\n", f"from __future__ import annotations\n\n{imported}\n", 1
    )


def _with_values(text: str, known: Mapping[str, Any]) -> str:
    lines = text.splitlines()
    for at, line in enumerate(lines):
        name = re.match(r"[A-Z_0-9]+\b", line)
        if name and name[0] in known:
            lines[at] = _with_value(line, known[name[0]])
    return "\n".join([*lines, ""])


def _without_methods(text: str) -> str:
    """Without the methods of classes that only checkpoints and caches need."""
    lines = text.splitlines(keepends=True)
    for node in reversed(ast.parse(text).body):
        for method in reversed(node.body if isinstance(node, ast.ClassDef) else []):
            if isinstance(method, ast.FunctionDef) and method.name in UNUSED_METHODS:
                assert method.end_lineno is not None
                del lines[method.lineno - 2 : method.end_lineno]  # with the empty line above it
    return "".join(lines)


@cache
def _text(module: str) -> str:
    found = find_spec(module)
    assert found is not None and found.origin is not None
    return Path(found.origin).read_text(encoding="utf-8")
