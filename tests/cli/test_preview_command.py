"""The contact sheet: what it shows of a space, where things stand on it, and how mistakes end."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from rich.console import Console

from regstudy.cli import preview_command
from regstudy.config.schema import Data
from regstudy.data.image_set import ImageSet
from regstudy.errors import DataUnavailable, RegstudyError
from regstudy.space.parsing import parse_space
from regstudy.training import contact_sheet, preview_rows
from regstudy.training.contact_sheet import Row, cell_size, draw_sheet

SIDE, CROP = 16, 12
CLASSES = ("ant", "bee", "a wasp with a name that is far too long for its column")


def images(part: str, config: Data, data_dir: Path) -> ImageSet | None:  # noqa: ARG001
    """Noise with labels in turn: ``data.name: test_preview_command:images``."""
    if part == "validation":
        return None
    pixels = torch.randint(0, 256, (60, 3, SIDE, SIDE), generator=torch.Generator().manual_seed(0))
    return ImageSet(pixels.to(torch.uint8), torch.arange(60) % 3, CLASSES)


SPACE = f"""# What happens to noise?
data: {{name: "test_preview_command:images"}}
preprocessing: {{crop: {CROP}, normalize: half}}
model: {{name: "tiny:cnn"}}
augmentation: {{strength: {{low: 0.0, high: 1.0}}, ops: [crop, flip, color]}}
regularization:
  cutout: {{or: 0, low: 2, high: 6}}
  mixup: {{low: 0.0, high: 0.8}}
  cutmix: 0.1
training: {{epochs: 2}}
"""


@pytest.fixture
def space(tmp_path: Path) -> str:
    path = tmp_path / "noise.yaml"
    path.write_text(SPACE, encoding="utf-8")
    return str(path)


def previewed(space: str, output: Path, *sets: str, count: int = 4) -> tuple[npt.NDArray[np.uint8], str]:
    """The sheet as an array and what was printed."""
    stream = io.StringIO()
    console = Console(file=stream, soft_wrap=True, markup=False, highlight=False)
    assert preview_command.execute(space, output, sets, output.parent, count, console) == 0
    return np.asarray(Image.open(output)), stream.getvalue()


def recorded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], list[str], list[Row]]]:
    """Lines, column titles and rows of every sheet that is drawn from now on."""
    seen: list[tuple[list[str], list[str], list[Row]]] = []

    def draw(title: str, lines: list[str], columns: list[str], rows: list[Row], software: str) -> bytes:
        seen.append((lines, columns, rows))
        return draw_sheet(title, lines, columns, rows, software)

    monkeypatch.setattr(preview_command, "draw_sheet", draw)
    return seen


def test_the_sheet_shows_each_strength_and_each_other_change_that_the_space_opens(
    space: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = recorded(monkeypatch)
    _, said = previewed(space, tmp_path / "out.png")
    lines, columns, rows = seen[0]
    assert [row.label.replace("\n", " ") for row in rows] == [
        "strength 0 as in validation",
        "strength 0.25",
        "strength 0.5",
        "strength 0.75",
        "strength 1",
        "cutout 6 px",
        "mixup 80% of batches",
        "cutmix 10% of batches",
    ]
    assert [row.new_block for row in rows] == [False] * 5 + [True, False, False]
    assert columns == [*CLASSES, CLASSES[0]]
    assert all(row.pictures.shape == (4, CROP, CROP, 3) for row in rows)
    original, *stronger, cut, blended, pasted = (row.pictures.astype(int) for row in rows)
    distances = [np.abs(one - original).mean() for one in stronger]
    assert distances[-1] > distances[0] > 0
    gray = cut[cut != original]  # the mean of `normalize: half`
    assert len(gray) and np.isin(gray, [127, 128]).all()
    assert (blended != original).any() and (pasted != original).any()
    shares = [float(caption.partition("%")[0]) / 100 for caption in rows[-1].captions]
    same = (pasted == original).all(-1).mean((1, 2))
    assert np.allclose(shares, same, atol=0.02)
    assert "crop, flip, color" in lines[1] and "lists no operations" not in lines[1]
    assert said.count("\n") == 1 and str(tmp_path / "out.png") in said and "cutout, mixup, cutmix" in said


def test_the_first_row_is_the_center_crop_enlarged_by_a_whole_factor(space: str, tmp_path: Path) -> None:
    sheet, _ = previewed(space, tmp_path / "out.png")
    trained = images("train", Data(name=""), tmp_path)
    assert trained is not None
    margin, cell = (SIDE - CROP) // 2, cell_size(CROP)
    assert cell == 108
    crops = trained.images[:, :, margin : margin + CROP, margin : margin + CROP].permute(0, 2, 3, 1).numpy()
    large = crops.repeat(cell // CROP, 1).repeat(cell // CROP, 2)
    firsts = {picture[0].tobytes(): picture for picture in large}  # by their uppermost lines
    found = []
    for top in range(sheet.shape[0] - cell + 1):
        for left in range(sheet.shape[1] - cell + 1):
            picture = firsts.get(sheet[top, left : left + cell].tobytes())
            if picture is not None and np.array_equal(sheet[top : top + cell, left : left + cell], picture):
                found.append((top, left))
        if found:
            break
    assert len(found) == 4 and np.all(np.diff([left for _, left in found]) == cell + contact_sheet.CELL_GAP)


def test_the_same_command_draws_the_same_picture(space: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    one, _ = previewed(space, tmp_path / "one.png")
    torch.manual_seed(2)
    two, _ = previewed(space, tmp_path / "two.png")
    assert np.array_equal(one, two)


def test_without_operations_of_its_own_all_that_are_allowed_are_shown_and_a_line_says_so(
    space: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = recorded(monkeypatch)
    _, said = previewed(space, tmp_path / "out.png", "augmentation.ops=[]", "regularization={}")
    lines, _, rows = seen[0]
    assert "lists no operations" in lines[1] and "rotate" in lines[1] and "flip" in lines[1]
    previewed("digits_cnn", tmp_path / "digits.png", "augmentation.ops=[]")
    assert "rotate" in seen[1][0][1] and "flip" not in seen[1][0][1]
    assert len(rows) == 5 and not np.array_equal(rows[4].pictures, rows[0].pictures)
    assert "then" not in said


def test_gray_images_are_shown_too(tmp_path: Path) -> None:
    sheet, said = previewed("digits_cnn", tmp_path / "out.png", "regularization.random_erasing=0.5", count=3)
    assert "3 training images of digits" in said and "random erasing" in said
    assert sheet.ndim == 3 and len(np.unique(sheet)) > 50


def test_where_the_data_set_cannot_be_had_its_fallback_is_shown_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = recorded(monkeypatch)
    path = tmp_path / "absent.yaml"
    missing = SPACE.replace(
        '{name: "test_preview_command:images"}', '{name: "test_preview_command:absent", fallback: {name: digits}}'
    )
    path.write_text(missing.replace("crop: 12", "crop: 28").replace(", flip", ""), encoding="utf-8")
    _, said = previewed(str(path), tmp_path / "out.png")
    assert "no such images" in said and "training images of digits" in said
    assert seen[0][0][0].startswith("digits:")


def absent(part: str, config: Data, data_dir: Path) -> ImageSet | None:  # noqa: ARG001
    """A data set that is nowhere: ``data.name: test_preview_command:absent``."""
    raise DataUnavailable("There are no such images.")


@pytest.mark.parametrize(
    ("output", "count", "names"),
    [
        ("out.jpg", 4, ".png"),
        ("out.png", 0, "can show 1 to 64"),
        ("out.png", 65, "can show 1 to 64"),
        ("noise.yaml/out.png", 4, "is a file"),
        ("folder.png", 4, "is a folder"),
    ],
)
def test_mistakes_are_one_paragraph_and_nothing_is_loaded_or_written(
    space: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str, count: int, names: str
) -> None:
    monkeypatch.delattr(preview_command, "gather")  # images are not loaded before what was typed has been checked
    (tmp_path / "folder.png").mkdir()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(RegstudyError, match=names) as caught:
        previewed(space, tmp_path / output, count=count)
    assert "\n" not in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_an_unknown_space_is_named_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(RegstudyError, match="Did you mean 'digits_cnn'"):
        previewed("digits_cn", tmp_path / "out.png")


def test_a_missing_folder_is_made(space: str, tmp_path: Path) -> None:
    previewed(space, tmp_path / "new" / "folder" / "out.png", count=1)
    assert [path.name for path in (tmp_path / "new" / "folder").iterdir()] == ["out.png"]


@pytest.mark.parametrize(
    ("labels", "count", "expected"),
    [
        ([2, 2, 1, 0, 1, 0], 3, [3, 2, 0]),
        ([2, 2, 1, 0, 1, 0], 5, [3, 2, 0, 5, 4]),
        ([0, 0, 0, 1], 4, [0, 3, 1, 2]),
        ([0, 1], 9, [0, 1]),
    ],
)
def test_images_are_taken_from_the_classes_in_turn(labels: list[int], count: int, expected: list[int]) -> None:
    assert preview_command.positions_in_turn(np.array(labels), count).tolist() == expected


def test_the_highest_value_is_looked_for_in_ranges_choices_and_phases() -> None:
    tree = {
        "data": {"name": "digits"},
        "model": {"name": "dropout_cnn"},
        "regularization": {"cutout": {"or": 0, "low": 2, "high": 9}, "mixup": {"choices": [0.0, 0.4, 0.2]}},
        "phases": [{}, {"regularization": {"cutmix": 0.3}}],
    }
    space = parse_space(tree, "s", "s")
    highest = {name: getattr(preview_rows.highest(space, name), name) for name in ("cutout", "mixup", "cutmix")}
    assert highest == {"cutout": 9, "mixup": 0.4, "cutmix": 0.3}


@pytest.mark.parametrize(("side", "cell"), [(8, 112), (28, 112), (32, 96), (60, 60), (224, 224), (600, 256)])
def test_pictures_are_enlarged_by_whole_factors_only(side: int, cell: int) -> None:
    assert cell_size(side) == cell
    row = Row("label", np.zeros((1, side, side, 3), np.uint8))
    sheet = np.asarray(Image.open(io.BytesIO(draw_sheet("title", ["line"], ["name"], [row]))))
    black = (sheet == 0).all(-1)
    assert black.sum() == cell**2


def test_names_are_cut_to_their_columns_and_accents_do_not_become_boxes() -> None:
    row = Row("label", np.zeros((2, 28, 28, 1), np.uint8))
    plain, accented, long = (
        draw_sheet("title", [], [name, "b"], [row]) for name in ("eclair", "éclair", "eclair" * 40)
    )
    assert plain == accented
    assert Image.open(io.BytesIO(long)).size == Image.open(io.BytesIO(plain)).size
    sheet = np.asarray(Image.open(io.BytesIO(long)).convert("L"))
    plan = contact_sheet.layout([row], 0, 0, 0)
    gap = sheet.shape[1] - contact_sheet.PAGE_MARGIN - plan.cell - contact_sheet.CELL_GAP  # between the two columns
    assert (sheet[:, gap : gap + contact_sheet.CELL_GAP] == 255).all()
