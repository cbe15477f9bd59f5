"""Checks that images are large enough for a network."""

from __future__ import annotations

from regstudy.errors import ConfigError


def check_size(name: str, size: int, smallest: int) -> None:
    """Raise ConfigError if images of ``size`` pixels per side are smaller than a network can take."""
    if size < smallest:
        raise ConfigError(
            f"{name} needs images of at least {smallest} pixels per side, but they have {size}. Use larger images"
            " (data.size, preprocessing.crop) or another network (model.name)."
        )
