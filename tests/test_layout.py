"""Where things are: few names at the top, and no module name that stands for two things."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src" / "regstudy"
MODULES = [path for path in SOURCE.rglob("*.py") if path.stem not in ("__init__", "__main__")]
PACKAGES = [path.parent for path in SOURCE.rglob("__init__.py") if path.parent != SOURCE]


def test_the_scan_finds_the_source() -> None:
    assert len(MODULES) > 100 and len(PACKAGES) >= 13


def test_the_top_level_is_small() -> None:
    files = [path.name for path in SOURCE.iterdir() if path.is_file()]
    folders = [path.name for path in SOURCE.iterdir() if path.is_dir() and path.name != "__pycache__"]
    assert len(files) <= 9, files
    assert len(folders) <= 16, folders


def test_no_module_name_stands_for_two_things() -> None:
    names = Counter(path.stem for path in MODULES) + Counter(path.name for path in PACKAGES)
    assert not [name for name, count in names.items() if count > 1]


def test_a_modules_own_tests_lie_at_the_mirrored_path() -> None:
    tests = Path(__file__).parent
    places = {path.stem: path.parent.relative_to(SOURCE) for path in MODULES}
    for path in tests.rglob("test_*.py"):
        module = path.stem.removeprefix("test_")
        if module in places and path.parent.name != "faults":
            assert path.parent.relative_to(tests) == places[module], path
