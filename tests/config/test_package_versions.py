"""Versions of packages: of one that is installed, and of a checkout that is only on the path."""

from __future__ import annotations

from importlib.metadata import version

from regstudy.config.package_versions import package_version


def test_a_package_that_is_installed_and_one_that_is_not() -> None:
    assert package_version("torch") == version("torch")
    assert package_version("regstudy-is-not-called-this") == "unknown"
