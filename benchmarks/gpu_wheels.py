"""Wheels for a machine without network that has torch: everything else that regstudy needs, as files to carry there.

    python benchmarks/gpu_wheels.py FOLDER [--python 3.12] [--have NAME …] [--most 64]

Reads the dependencies in pyproject.toml, follows them through what is installed here, leaves out what the machine has,
and downloads the others for Linux on x86-64 in the versions that are installed here. A machine is taken to have torch,
torchvision and numeric packages, and all that these need; `--have` names more. It fails if the wheels take more than
`--most` MiB. It prints the command that installs them there, which needs no network.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tomllib
from collections.abc import Collection, Iterable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"
# what a machine for deep learning has; a package that it has all the same, such as rich, does no harm twice
HAVE = ("torch", "torchvision", "numpy", "scipy", "scikit-learn", "pandas", "pillow", "psutil", "safetensors")
PLATFORMS = [f"manylinux_2_{minor}_x86_64" for minor in (28, 27, 24, 17)]
PLATFORMS += ["manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64"]
MEGABYTE = 2**20


def main() -> None:
    """Download and say how to install."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--python", default="3.12", help="the version on that machine")
    parser.add_argument("--have", nargs="*", default=[], help="more packages that the machine has")
    parser.add_argument("--most", type=float, default=64, help="MiB that the wheels may take together")
    given = parser.parse_args()
    wanted = needed(project_dependencies(), {*HAVE, *given.have}, given.python)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--python-version", given.python, "--implementation", "cp"]
    command += [f"--platform={name}" for name in PLATFORMS]
    given.folder.mkdir(parents=True, exist_ok=True)
    strangers = sorted(path.name for path in given.folder.iterdir())
    if strangers:
        sys.exit(f"{given.folder} must be empty, because two versions of a package exclude each other: {strangers[0]}")
    ended = subprocess.run([*command, "--dest", str(given.folder), *wanted])
    if ended.returncode:
        sys.exit(ended.returncode)
    wheels = sorted(given.folder.glob("*.whl"))
    size = sum(wheel.stat().st_size for wheel in wheels) / MEGABYTE
    for wheel in wheels:
        print(f"{wheel.stat().st_size / MEGABYTE:6.2f} MiB  {wheel.name}")
    print(f"{size:6.2f} MiB in {len(wheels)} wheels for Python {given.python}")
    if size > given.most:
        sys.exit(f"That is more than {given.most:g} MiB. Leave out what the machine has: --have NAME …")
    target = "python3 -m pip install --quiet --no-index --no-deps --no-compile --target SITE"
    print(f"There:  {target} {given.folder}/*.whl && export PYTHONPATH=$PWD/src:SITE")


def project_dependencies() -> list[str]:
    """What pyproject.toml says regstudy needs, without its extras."""
    dependencies: list[str] = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]["dependencies"]
    return dependencies


def needed(requirements: Iterable[str], have: Collection[str], python: str) -> list[str]:
    """``name==version`` of the packages that the requirements ask for on that machine, with all that these need.

    Nothing that only a package needs which the machine ``has`` is among them. Exits if one is not installed here.
    """
    machine = {"python_version": python, "python_full_version": f"{python}.0", "extra": ""}
    machine |= {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64", "os_name": "posix"}
    has = {canonicalize_name(name) for name in have}
    found: dict[str, str] = {}
    open_ones = [(Requirement(one), "regstudy") for one in requirements]
    while open_ones:
        requirement, asked_by = open_ones.pop()
        name = canonicalize_name(requirement.name)
        if name in has or name in found:
            continue
        if requirement.marker and not any(
            requirement.marker.evaluate({**machine, "extra": extra}) for extra in ("", *requirement.extras)
        ):
            continue
        try:
            installed = distribution(name)
        except PackageNotFoundError:
            sys.exit(f"{asked_by} needs {requirement.name}, which is not installed here. Run `make setup` first.")
        found[name] = installed.version
        open_ones += [(Requirement(one), name) for one in installed.requires or []]
    return [f"{name}=={version}" for name, version in sorted(found.items())]


if __name__ == "__main__":
    main()
