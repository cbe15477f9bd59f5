"""Networks of other libraries by name: ``torchvision:resnet34``, ``timm:convnext_atto``."""

from __future__ import annotations

from difflib import get_close_matches
from functools import cache
from importlib import import_module
from types import ModuleType

from regstudy.config.plugins import is_plugin
from regstudy.errors import LONGEST_NAME, ConfigError, installing
from regstudy.models.library_network import LibraryNetwork

LISTS = {  # of their networks
    "timm": "timm.list_models() in Python",
    "torchvision": "https://docs.pytorch.org/vision/stable/models.html#classification",
}
MOST_NAMES = 3  # in a message


def is_library_network(name: str) -> bool:
    """Whether a name means a network of one of the libraries; nothing is imported."""
    library, colon, _ = name.partition(":")
    return bool(colon) and library in LISTS


def is_own_network(name: str) -> bool:
    """Whether a name means a function of the user's own that builds a network."""
    return is_plugin(name) and not is_library_network(name)


@cache
def library_network(name: str) -> LibraryNetwork:
    """The builder of a network. Raises ConfigError if the library is not installed or has no such network."""
    library, _, network = name.partition(":")
    names = _names(library)
    if network not in names:
        shown = network if len(network) <= LONGEST_NAME else f"{network[:LONGEST_NAME]}…"
        close = [f"'{library}:{one}'" for one in get_close_matches(network, names, n=MOST_NAMES, cutoff=0.5)]
        hint = f" Did you mean {' or '.join(close)}?" if close else ""
        raise ConfigError(f"{library} has no network '{shown}'.{hint} All {len(names)} names: {LISTS[library]}.")
    builder: LibraryNetwork = _module(library, name).builder(name, network)
    return builder


def libraries_with(network: str) -> list[str]:
    """The names, with their library, of networks that are called exactly so in an installed library."""
    found = []
    for library in LISTS:
        try:
            found += [f"{library}:{network}"] if network in _names(library) else []
        except ConfigError:  # not installed
            continue
    return found


def meant_library(name: str) -> str:
    """A sentence about the network of a library that a name ``module:function`` was meant to be; empty if none was."""
    module, _, function = name.partition(":")
    close = get_close_matches(module.partition(".")[0], LISTS, n=1, cutoff=0.7)
    return f" The networks of {close[0]} are named '{close[0]}:NAME', as in '{close[0]}:{function}'." if close else ""


@cache
def _names(library: str) -> tuple[str, ...]:
    return tuple(_module(library, f"{library}:…").network_names())


def _module(library: str, name: str) -> ModuleType:
    """Our module for a library, which imports it."""
    try:
        return import_module(f"regstudy.models.{library}_networks")
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("regstudy"):
            raise
        raise ConfigError(
            f"'{name}' is a network of {library}, but the package {error.name} is not installed. Install it with"
            f" {installing(library)}."
        ) from error
