"""From real files to a space that a study reads: folders, tables, groups, gray images, and what cannot be decoded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from regstudy.data import prepare
from regstudy.first_space.draft import Draft, draft_space
from regstudy.first_space.picture_sample import spread
from regstudy.space.loader import space_from_text
from regstudy.space.search_space import Space
from regstudy.training.cost import ImageCost


@pytest.fixture(autouse=True)
def known_speed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing is timed: an image takes a millisecond."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("regstudy.first_space.draft.seconds_per_image", lambda *_: ImageCost(1e-3, 1e-3))
    yield


def picture(path: str, number: int, *, gray: bool = False, shape: tuple[int, int] = (24, 24)) -> None:
    place = Path(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(number).integers(0, 256, shape if gray else (*shape, 3), dtype=np.uint8)
    Image.fromarray(noise).convert("RGB").save(place)


def drafted(name: str) -> tuple[Draft, Space]:
    draft = draft_space(Path(name), Path("mine.yaml"), "cpu")
    return draft, space_from_text(draft.text, "mine", "mine.yaml")


def test_a_divided_folder_of_gray_images_with_patients() -> None:
    for patient in range(16):
        for number in range(3):
            part = "val" if patient > 11 else "train"
            picture(f"photos/{part}/{'ab'[patient % 2]}/patient{patient}_{number}.png", 3 * patient + number, gray=True)
    picture("photos/val/a/patient0_9.png", 99, gray=True)
    draft, space = drafted("photos")
    data = space.defaults().data
    assert (data.channels, data.size, data.group) == (1, 24, r"(patient\d+)")
    said = "\n".join(draft.seen)
    assert "36 for training, 13 for validation" in said
    assert "gray, although some files are stored in color" in said
    assert "Warning: 1 group in both your training and your validation part" in said
    assert len(prepare(data, Path("data")).train) == 36


def test_copies_and_unreadable_files_are_seen_and_named() -> None:
    for number in range(40):
        picture(f"photos/{'ab'[number % 2]}/{number}.png", number % 36, shape=(40, 30))
    Path("photos/a/broken.png").write_bytes(b"nothing")
    draft, space = drafted("photos")
    data = space.defaults().data
    assert (data.group, data.unreadable, data.size) == ("near_duplicates", "skip", 30)
    assert any("1 of 41 files tried: a/broken.png (not an image)" in line for line in draft.seen)
    assert any("4 near duplicates" in line for line in draft.seen)
    prepare(data, Path("data"))


def test_a_table_with_patients_and_parts_and_a_column_for_nothing() -> None:
    rows = ["file;age;patient;diagnosis;part"]
    for number in range(40):
        picture(f"scans/images/{number}.png", number)
        part = "train" if number < 30 else "val"
        rows.append(f"images/{number}.png;{number};p{number // 2};{'ill' if number % 4 < 2 else 'well'};{part}")
    Path("scans/list.csv").write_text("\n".join(rows), encoding="utf-8")
    draft, space = drafted("scans/list.csv")
    data = space.defaults().data
    assert (data.name, data.file, data.image, data.label) == ("table", "scans/list.csv", "file", "diagnosis")
    assert (data.group, data.split) == ("patient", "part")
    assert "Not used: 'age'" in draft.notes[0]
    assert len(prepare(data, Path("data")).validation) == 10


def test_the_network_that_is_timed_is_that_of_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    timed = []

    def cost(config: object, splits: object, device: torch.device) -> ImageCost:
        timed.append((config, splits, device))
        return ImageCost(1e-3, 1e-3)

    monkeypatch.setattr("regstudy.first_space.draft.seconds_per_image", cost)
    for number in range(20):
        picture(f"photos/{'ab'[number % 2]}/{number}.png", number)
    draft = draft_space(Path("photos"), Path("mine.yaml"), "cpu")
    space = space_from_text(draft.text, "mine", "mine.yaml")
    ((config, splits, device),) = timed
    assert draft.chosen[0].startswith("svhn_resnet") and "1 combination timed" in draft.chosen[0]
    assert str(device) == "cpu"
    assert config.model == space.defaults().model and config.optimizer == space.defaults().optimizer
    assert splits.train.shape == (3, 24, 24) and splits.train.classes == ("a", "b")


@pytest.mark.parametrize(("total", "most"), [(10, 100), (100, 100), (101, 100), (5_000, 100), (100_000, 2_000)])
def test_a_sample_is_spread_over_all_files_in_runs_of_neighbors(total: int, most: int) -> None:
    places = spread(total, most)
    assert len(places) == len(set(places)) == min(total, most)
    assert places == sorted(places)
    assert (places[0], places[-1]) == (0, total - 1)
    assert places[:10] == list(range(10))
