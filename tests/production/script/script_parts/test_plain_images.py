"""The images of a script, read from disk, against those of regstudy: the same pixels, labels and split."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from regstudy.config.run_config import RunConfig, parse_config
from regstudy.data import prepare
from regstudy.data.image_folder import part_folders
from regstudy.production.script.generate import training_script


def configured(data: dict[str, Any]) -> RunConfig:
    return parse_config({"data": data, "model": {"name": "small_cnn"}}, "the configuration")


def script_of(config: RunConfig, **facts: Any) -> dict[str, Any]:
    """The names that a script defines."""
    module = ModuleType("exported_images")
    sys.modules["exported_images"] = module  # where dataclasses look for the names of types
    exec(compile(training_script(config, "", {"shape": [3, 12, 12], **facts}), "exported.py", "exec"), module.__dict__)
    return module.__dict__


def pictures(folder: Path, count: int = 12) -> None:
    """Pictures of three classes in several formats and sizes, some of them turned, gray or transparent."""
    rng = np.random.default_rng(len(str(folder)))
    for number in range(count):
        place = folder / "abc"[number % 3]
        place.mkdir(parents=True, exist_ok=True)
        mode, suffix = [("RGB", "jpg"), ("L", "png"), ("RGBA", "png"), ("P", "gif")][number % 4]
        size = (14 + number, 40 - number)
        image = Image.fromarray(rng.integers(0, 256, (*size, 3)).astype(np.uint8)).convert(mode)
        exif = Image.Exif()
        exif[0x0112] = 1 + number % 8
        image.save(place / f"slide{number // 4}_{number}.{suffix}", **({"exif": exif} if suffix == "jpg" else {}))
    (folder / "a" / "notes.txt").write_text("no picture")
    (folder / "a" / ".hidden.png").write_bytes(b"no picture")
    for left_behind in (folder / "b" / "@eaDir", folder / "__MACOSX", folder / ".cache"):  # no class is called so
        left_behind.mkdir()
        (left_behind / "thumb.png").write_bytes(b"no picture")


LAYOUTS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "classes": (("",), {}),
    "limited": (("",), {"train_limit": 12, "validation": 6}),
    "grouped": (("",), {"group": r"(slide\d+)_"}),
    "padded": (("",), {"fit": "pad"}),
    "stretched": (("",), {"fit": "stretch"}),
    "train and test": (("train", "test"), {}),
    "three parts": (("Training", "val", "test"), {}),
    "three parts, limited": (("train", "valid", "test"), {"train_limit": 9}),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_class_folders_give_the_same_images_and_the_same_split(layout: str, tmp_path: Path) -> None:
    parts, settings = LAYOUTS[layout]
    root = tmp_path / "pictures"
    for part in parts:
        pictures(root / part, 24)
    config = configured({"name": "image_folder", "root": str(root), "size": 12, "validation": 0.25, **settings})
    splits = prepare(config.data, tmp_path / "cache")
    names = script_of(config, **splits.describe())
    found = names["training_and_validation"](root)
    for ours, theirs in zip((splits.train, splits.validation), found, strict=True):
        assert torch.equal(theirs.pixels, ours.images)
        assert torch.equal(theirs.labels, ours.labels)
        assert theirs.classes == ours.classes
    test = names["read_part"]("test", root)
    assert (test is None) == ("test" not in part_folders(config.data))


def test_unreadable_files_are_an_error_or_skipped_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "pictures"
    pictures(root, 24)
    (root / "a" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    data = {"name": "image_folder", "root": str(root), "size": 12, "validation": 6}
    with pytest.raises(SystemExit, match=r"broken\.png cannot be read"):
        script_of(configured(data))["training_and_validation"](root)
    config = configured({**data, "unreadable": "skip"})
    found = script_of(config)["training_and_validation"](root)
    assert "Skipped" in capsys.readouterr().out
    splits = prepare(config.data, tmp_path / "cache")
    assert torch.equal(found[0].pixels, splits.train.images)


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    names = script_of(configured({"name": "image_folder", "root": "x"}), parts={"train": "train", "test": "test"})
    with pytest.raises(SystemExit, match="Give the folder of the images with --data"):
        names["training_and_validation"](tmp_path)


def test_digits_made_as_the_script_says_are_those_of_regstudy(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    config = configured({"name": "digits", "size": 16, "train_limit": 200, "validation": 100})
    text = training_script(config, "", {"shape": [1, 16, 16]})
    recipe = "\n".join(line[4:] for line in text.split('"""')[1].splitlines() if line.startswith("    "))
    exec(recipe, {})
    names = script_of(config, shape=[1, 16, 16])
    splits = prepare(config.data, tmp_path)
    found = names["training_and_validation"](Path())
    assert torch.equal(found[0].pixels, splits.train.images)
    assert torch.equal(found[1].labels, splits.validation.labels)
    assert len(names["read_part"]("test", Path())) == 360


def test_street_digits_made_as_the_script_says_are_those_of_regstudy(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    config = configured({"name": "street_digits", "train_limit": 60, "validation": 40})
    text = training_script(config, "", {"shape": [3, 32, 32]})
    recipe = "\n".join(line[4:] for line in text.split('"""')[1].splitlines() if line.startswith("    "))
    exec(recipe, {})
    splits = prepare(config.data, tmp_path)
    found = script_of(config)["training_and_validation"](Path())
    assert torch.equal(found[0].pixels, splits.train.images)


OWN = """
import torch
from types import SimpleNamespace

def images(part, config, root, count=30):
    if part == "validation":
        return None
    labels = torch.arange(count) % 3
    pixels = torch.arange(count * 3 * 144).view(count, 3, 12, 12).to(torch.uint8)
    return SimpleNamespace(images=pixels, labels=labels, classes=("a", "b", "c"), paths=())
"""


def test_an_own_function_is_imported_by_its_name(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "own_images_of_tests.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    config = configured({"name": "own_images_of_tests:images", "options": {"count": 60}})
    assert "import own_images_of_tests" in training_script(config, "", {})
    train, validation = script_of(config)["training_and_validation"](tmp_path)
    assert (len(train), len(validation)) == (54, 6)


def test_an_own_function_gets_the_whole_section_as_in_regstudy(tmp_path: Path, monkeypatch: Any) -> None:
    own = OWN.replace("    if part", "    SEEN.append(config)\n    if part")
    (tmp_path / "own_section_of_tests.py").write_text(f"SEEN = []\n{own}")
    monkeypatch.syspath_prepend(tmp_path)
    config = configured({"name": "own_section_of_tests:images", "root": "x", "train_limit": 12, "fit": "pad"})
    script_of(config)["read_part"]("train", tmp_path)
    seen = import_module("own_section_of_tests").SEEN
    assert vars(seen[0]) == config.data.model_dump() and seen[0].size is None


def test_some_classes_of_cifar10_in_class_folders(tmp_path: Path) -> None:
    for number, name in enumerate(("cat", "dog", "ship", *"abcdefg")):
        for part in ("train", "test"):
            place = tmp_path / part / {"a": "airplane", "b": "automobile", "c": "bird", "d": "deer"}.get(name, name)
            place = place.with_name({"e": "frog", "f": "horse", "g": "truck"}.get(place.name, place.name))
            place.mkdir(parents=True)
            Image.fromarray(np.full((32, 32, 3), number, np.uint8)).save(place / "x.png")
    config = configured({"name": "cifar10", "options": {"classes": "ship, cat"}, "validation": 1})
    names = script_of(config, shape=[3, 32, 32])
    found = names["read_part"]("train", tmp_path)
    assert found.classes == ("ship", "cat")
    assert sorted(zip(found.labels.tolist(), found.pixels[:, 0, 0, 0].tolist(), strict=True)) == [(0, 2), (1, 0)]
    assert names["read_part"]("validation", tmp_path) is None
