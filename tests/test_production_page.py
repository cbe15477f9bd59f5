"""docs/production.md: its commands and examples run in their order, and all ways to use a network agree."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from regstudy.cli.app import main
from regstudy.production.preprocessing_file import StoredPreprocessing

PAGE = (Path(__file__).parents[1] / "docs" / "production.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(console|python)\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)
CONFIG = """
data: {name: image_folder, root: photos, size: 32, validation: 0.25}
preprocessing: {crop: 28}
model: {name: resnet18_transfer}
training: {epochs: 1, batch_size: 8, precision: fp32}
"""
NEEDED = {
    "import onnxruntime": {"torch", "torchvision", "regstudy"},
    "from torchvision.models import resnet18": {"regstudy"},
}
BLOCKING = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in {blocked!r}:
            raise ImportError(name)
sys.meta_path.insert(0, Blocker())
"""


def lay_out(folder: Path) -> None:
    """Pictures to train on, new ones, labeled ones, and a configuration."""
    random = np.random.default_rng(0)
    for name, level in (("cat", 60), ("dog", 180)):
        for number in range(12):
            noise = random.integers(0, 70, (40, 52, 3)) + level
            path = folder / ("photos" if number < 8 else "labeled") / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(noise.astype(np.uint8)).save(path)
    (folder / "new_images").mkdir()
    Image.open(folder / "photos" / "cat" / "0.png").save(folder / "new_images" / "first.png")
    turned = Image.Exif()
    turned[0x0112] = 6
    smooth = np.linspace(0, 255, 50 * 70 * 3).reshape(50, 70, 3).astype(np.uint8)
    Image.fromarray(smooth).save(folder / "holiday.jpg", exif=turned)
    (folder / "best.yaml").write_text(CONFIG, encoding="utf-8")


def run_console(block: str) -> None:
    for line in block.splitlines():
        words = shlex.split(line, comments=True)
        assert words[0] == "regstudy"
        if words[1] != "export":  # there is no study here
            with pytest.raises(SystemExit) as ended:
                main(words[1:])
            assert ended.value.code in ((2,) if words[1] == "evaluate" else (0, None)), line  # there are no test images


def test_every_key_of_the_preprocessing_is_described() -> None:
    table = PAGE.partition("`preprocessing.json` has these keys:")[2].partition("\n\n`")[0]
    cells = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    assert {name for cell in cells for name in re.findall("`([^`]+)`", cell)} == set(StoredPreprocessing.model_fields)


@pytest.mark.slow
def test_the_page_runs_and_all_ways_agree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    lay_out(tmp_path)
    names: dict[str, Any] = {"__name__": "page"}
    assert len([1 for kind, _ in BLOCKS if kind == "python"]) == 5 and len(BLOCKS) == 13
    for kind, block in BLOCKS:
        if kind == "console":
            run_console(block)
        else:
            exec(compile(block, "docs/production.md", "exec"), names)
    expected = names["table"].iloc[0][["p(cat)", "p(dog)"]].to_numpy(dtype=float)
    ways = [
        names["probabilities"][0].tolist(),
        [names["plain"][name] for name in names["classifier"].classes],
        names["from_pt2"][0].tolist(),
        names["chances"].tolist(),
    ]
    assert np.abs(np.array(ways) - expected).max() < 1e-4
    assert pd.read_csv("predictions.csv")["file"].tolist() == ["new_images/first.png", "holiday.jpg"]
    for sign, blocked in NEEDED.items():
        (block,) = [text for kind, text in BLOCKS if kind == "python" and sign in text]
        if sign.startswith("from"):
            assert len([line for line in block.splitlines() if line and not re.match(r"import|from", line)]) <= 15
        script = BLOCKING.format(blocked=blocked) + block
        subprocess.run([sys.executable, "-W", "error", "-c", script], check=True, timeout=120)
    main_out = capsys.readouterr().out
    assert "holiday.jpg" in main_out
