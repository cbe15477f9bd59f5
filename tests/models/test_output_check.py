"""A network of the user's own that cannot answer is told before anything is written, wherever one is trained."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Command

import regstudy as library
from regstudy.config.run_config import parse_config
from regstudy.errors import ConfigError

NARROW = """
from torch import nn

def network(channels, size, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * size**2, classes - 1))
"""
SPACE = """
data: {name: digits, size: 8, train_limit: 60, validation: 60}
model: {name: "narrow_net:network"}
training: {epochs: 1, batch_size: 20}
"""
COMMANDS = {
    "study": ["study", "--space", "narrow.yaml", "--trials", "1"],
    "study without the doctor": ["study", "--space", "narrow.yaml", "--trials", "1", "--no-doctor"],
    "compare": ["compare", "narrow.yaml", "--arm", "a", "--arm", "b: training.batch_size=30"],
    "doctor": ["doctor", "narrow.yaml"],
    "train": ["train", "narrow.yaml", "-o", "out"],
}
WORDS = "'narrow_net:network' must return one logit per class, so 2×10 numbers"


@pytest.mark.parametrize("command", COMMANDS)
def test_too_few_outputs_are_told_before_anything_is_written(command: str, regstudy: Command, tmp_path: Path) -> None:
    (tmp_path / "narrow_net.py").write_text(NARROW, encoding="utf-8")
    (tmp_path / "narrow.yaml").write_text(SPACE, encoding="utf-8")
    done = regstudy(*COMMANDS[command])
    assert done.returncode == 2
    assert WORDS in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "results").exists() and not (tmp_path / "out").exists()


def test_building_a_model_in_python_says_so_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "narrow_net.py").write_text(NARROW, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    config = parse_config({"data": {"name": "digits"}, "model": {"name": "narrow_net:network"}}, "test")
    with pytest.raises(ConfigError, match="must return one logit per class"):
        library.build_model(config, 1, 8, 10)
