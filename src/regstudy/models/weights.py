"""Initial weights: a file of tensors, or published ones by name. Code in weight files is never executed.

Every tensor of the file must fit. Only the head, the last of the declared `stages`, may differ or be missing: it then
keeps its random initialization, because different classes need a different head.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Set
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from regstudy.errors import ConfigError, FileError, unknown
from regstudy.files import check_readable
from regstudy.files.paths import given_path, path_errors
from regstudy.models.libraries import is_library_network, library_network
from regstudy.models.library_network import Published
from regstudy.models.stages import stages_of
from regstudy.models.torchvision_networks import published_weights
from regstudy.models.torchvision_resnet import PRETRAINED

WEIGHT_SUFFIXES = (".safetensors", ".pt", ".pth")
TENSORS_IN_ERROR = 3  # of each kind
BATCH_COUNTER = "num_batches_tracked"  # of batch normalization; old files lack it, and it has no effect


class StoredWeights(NamedTuple):
    """Tensors by name, on the CPU, and the file that they are from."""

    path: Path
    tensors: dict[str, Tensor]


def weights_problem(model: str, weights: str) -> str | None:
    """A problem of ``model.weights`` that can be found without reading or downloading; None if there is none."""
    if weights in _names(model):
        return None
    try:
        path = given_path(weights, "The file")
        with path_errors(path, "read"):
            is_file, exists = path.is_file(), path.exists()
    except FileError as error:
        return str(error)
    if exists and not is_file:
        return f"{path} is a folder, a pipe or a device, not a file."
    if path.suffix in WEIGHT_SUFFIXES:
        return None if is_file else f"there is no file {path}{_from_here(path)}."
    if is_file:
        return f"the name of the file {path} must end in {_either(WEIGHT_SUFFIXES)}."
    files = f"You can also give a file that ends in {_either(WEIGHT_SUFFIXES)}."
    if not _names(model):
        others = "" if is_library_network(model) else f" ({', '.join(sorted(PRETRAINED))} have)"
        return f"'{weights}' is not a file, and '{model}' has no pretrained weights by name{others}. {files}"
    return f"{unknown('set of weights', weights, _names(model))} {files}"


def find_weights(model: str, weights: str) -> StoredWeights:
    """The weights named by ``model.weights`` for a network, downloaded if necessary.

    Raises ConfigError if there are none of that name, or they cannot be downloaded or read.
    """
    problem = weights_problem(model, weights)
    if problem:
        raise ConfigError(f"model.weights: {problem}")
    published = _names(model).get(weights)
    path = _fetched(published, weights) if published else given_path(weights)
    return StoredWeights(path, read_weights(path))


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name, on the CPU. Raises ConfigError if it contains anything else or cannot be read."""
    try:
        check_readable(path)
        if path.suffix == ".safetensors":
            content = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except FileError as error:
        raise ConfigError(f"model.weights: {error}") from None
    except Exception as error:  # both libraries raise many kinds for damaged files
        raise ConfigError(
            f"model.weights: {path} cannot be read as weights ({type(error).__name__}). It is damaged, has a different"
            " format than its extension, or contains Python objects, which are never loaded because they can run code."
            f" {_SAVE}"
        ) from None
    tensors = isinstance(content, Mapping) and all(isinstance(value, Tensor) for value in content.values())
    if not content or not tensors:
        keys = [str(key) for key in content] if isinstance(content, Mapping) else []
        holds = f"the keys {_some(keys)}" if keys else f"a {type(content).__name__}"
        raise ConfigError(
            f"model.weights: {path} is not a plain mapping of names to tensors: it contains {holds}. {_SAVE}"
        )
    return {str(name): tensor.detach() for name, tensor in content.items()}


_SAVE = (
    "Save only the weights, with safetensors.torch.save_file(model.state_dict(), 'weights.safetensors') or"
    " torch.save(model.state_dict(), 'weights.pt')."
)


def fill(network: nn.Module, model: str, weights: StoredWeights) -> None:
    """Copy weights into a network; the head only if all of it fits.

    Raises ConfigError, before anything is copied, if any other tensor is missing, unknown or has a different shape.
    """
    own: dict[str, Tensor] = network.state_dict()
    stages = stages_of(network)
    head = stages[-1] if stages else ()
    wanted, given = _shapes(own), _shapes(weights.tensors)
    body = {key for key in wanted.keys() | given.keys() if not _within(key, head)}
    _check_body(_only(wanted, body), _only(given, body), model, weights.path, bool(head))
    whole = _only(wanted, wanted.keys() - body) == _only(given, given.keys() - body)
    taken = {key: t for key, t in weights.tensors.items() if key in own and (whole or not _within(key, head))}
    own.update(taken)  # in place, because some modules look at the version that a state dict carries
    network.load_state_dict(own)


def _check_body(wanted: Mapping[str, str], given: Mapping[str, str], model: str, path: Path, has_head: bool) -> None:
    """Raise ConfigError unless the same tensors of the same shapes stand on both sides."""
    missing = [f"{key} ({wanted[key]})" for key in wanted if key not in given]
    strange = [f"{key} ({given[key]})" for key in given if key not in wanted]
    reshaped = [
        f"{key} ({given[key]} in the file, {wanted[key]} in the network)"
        for key in wanted
        if key in given and given[key] != wanted[key]
    ]
    kinds = [("Missing in the file", missing), ("Unknown to the network", strange), ("Different shape", reshaped)]
    found = [f"{words} ({len(names)}): {_some(names)}." for words, names in kinds if names]
    if found:
        raise ConfigError(
            f"model.weights: {path} does not fit '{model}'. {' '.join(found)} Only the head may differ, which is the"
            f" last of the network's stages{'' if has_head else ', but this network declares none'}. Use weights of the"
            " same network with the same options and number of color channels, choose the network they belong to"
            " (model.name), or remove model.weights."
        )


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Shapes as words, without those of counters."""
    shapes = {key: tuple(tensor.shape) for key, tensor in tensors.items() if not key.endswith(BATCH_COUNTER)}
    return {key: "×".join(map(str, shape)) or "a single number" for key, shape in shapes.items()}


def _only(shapes: Mapping[str, str], keys: Set[str]) -> dict[str, str]:
    """Some of the shapes, in their order."""
    return {key: shape for key, shape in shapes.items() if key in keys}


def _within(key: str, names: Iterable[str]) -> bool:
    return any(key == name or key.startswith(f"{name}.") for name in names)


def _names(model: str) -> Mapping[str, Published]:
    """Published weights that a network knows, with ``imagenet`` for those that its library recommends."""
    if is_library_network(model):
        return library_network(model).published()
    return published_weights(PRETRAINED[model]) if model in PRETRAINED else {}


def _fetched(published: Published, name: str) -> Path:
    """Where torch keeps published weights, fetched with a checksum if there is one and they are not there yet."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / published.file
    if published.kept or path.exists():
        return Path(published.kept or path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        progress = sys.stderr.isatty()
        torch.hub.download_url_to_file(published.url, str(path), published.checksum, progress=progress)
    except (OSError, RuntimeError, HTTPException) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError(
            f"model.weights: '{name}' is not in {path.parent} and cannot be downloaded ({reason}). Download"
            f" {published.url} on another machine and copy it there as {published.file}, or set model.weights to the"
            " path of that file, use other weights of your own, or remove model.weights to start with random weights."
        ) from None
    return path


def _from_here(path: Path) -> str:
    return "" if path.is_absolute() else f" in {Path.cwd()}"


def _some(names: list[str]) -> str:
    return ", ".join(names[:TENSORS_IN_ERROR]) + (", …" if len(names) > TENSORS_IN_ERROR else "")


def _either(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} or {last}"
