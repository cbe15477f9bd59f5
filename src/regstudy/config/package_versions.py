"""Versions of installed packages."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def package_version(name: str) -> str:
    """The version of a package; "unknown" if it is not installed, as regstudy is not in a checkout on the path."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"
