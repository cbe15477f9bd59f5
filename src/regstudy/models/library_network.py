"""What a builder of a network from another library is: a callable whose signature lists what the network takes."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from torch import Tensor, nn

IMAGES_GIVE = ("channels", "size", "classes")


class Published(NamedTuple):
    """Weights that can be downloaded: where from, the name of the file here, and the start of its checksum, if known.

    ``kept`` is where another program has already put them.
    """

    url: str
    file: str
    checksum: str | None = None
    kept: str | None = None


class Images(NamedTuple):
    """What a network was built for: channels, pixels per side, and the section's options."""

    channels: int
    size: int
    options: Mapping[str, Any]


class LibraryNetwork(ABC):
    """Builds one network for any number of channels and classes, at rates that are 0 unless they are given."""

    def __init__(
        self,
        name: str,
        regularizers: Iterable[str],
        parameters: Mapping[str, inspect.Parameter],
        reserved: Collection[str],
    ) -> None:
        """``parameters`` are those of the network's class; the ``reserved`` ones are no options."""
        self.name = self.__name__ = name
        hidden = {*reserved, *IMAGES_GIVE, "dropout", "block_dropout", "stochastic_depth"}
        options = [p for label, p in parameters.items() if p.default is not p.empty and label not in hidden]
        taken = [inspect.Parameter(one, inspect.Parameter.KEYWORD_ONLY) for one in IMAGES_GIVE]
        taken += [inspect.Parameter(one, inspect.Parameter.KEYWORD_ONLY, default=0.0) for one in regularizers]
        taken += [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in options]
        self.__signature__ = inspect.Signature(taken)

    @abstractmethod
    def __call__(self, channels: int, size: int, classes: int, **settings: Any) -> nn.Module:
        """The network for square images of ``size`` pixels, initialized from torch's global generator."""

    @abstractmethod
    def published(self) -> dict[str, Published]:
        """Published weights by name, with ``imagenet`` for those that the library recommends."""

    @abstractmethod
    def fitted(self, tensors: Mapping[str, Tensor], network: nn.Module, images: Images) -> dict[str, Tensor]:
        """Weights for other images, changed to fit those of a network; as they are, if they cannot be changed."""


def parameters_of(kind: type[nn.Module]) -> dict[str, inspect.Parameter]:
    """The named parameters of a class, and of its bases where it passes any further ones on to them."""
    found: dict[str, inspect.Parameter] = {}
    for one in kind.__mro__:
        if "__init__" not in vars(one):
            continue
        parameters = list(inspect.signature(vars(one)["__init__"]).parameters.values())[1:]
        for parameter in parameters:
            if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                found.setdefault(parameter.name, parameter)
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            break
    return found
