"""`train`, `evaluate` and `verify` at the command line: what they print, their exit codes, and each misuse."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Command

PLAIN = """
data: {name: 'tiny_parts:load', validation: 15}
preprocessing: {normalize: train}
model: {name: 'tiny:cnn'}
training: {epochs: 2, batch_size: 8, precision: fp32}
"""
FAST = ("--device", "cpu", "--threads", "1")


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    (tmp_path / "c.yaml").write_text(PLAIN)
    return tmp_path


def test_seeds_evaluate_and_verify(plain: Path, regstudy: Command) -> None:
    trained = regstudy("train", "c.yaml", "--seeds", "2", "--temperature", *FAST)
    assert trained.returncode == 0, trained.stderr
    for words in ("Seed 2 of 2", "  kept", "(evaluation no. 1 on this test set)", "over 2 seeds", "Temperature "):
        assert words in trained.stdout, words
    again = regstudy("evaluate", "out", *FAST)
    assert again.returncode == 0, again.stderr
    assert "(evaluation no. 2 on this test set)" in again.stdout
    same = regstudy("verify", "out", "--test", "--retrain", *FAST)
    assert same.returncode == 0, same.stdout
    assert same.stdout.count("the same to the bit") == 4 and same.stdout.endswith("The same.\n")
    metrics = plain / "out" / "metrics.json"
    metrics.write_text(metrics.read_text().replace('"loss": 1', '"loss": 2').replace('"loss": 0', '"loss": 3'))
    other = regstudy("verify", "out", *FAST)
    assert other.returncode == 1 and "differs by up to" in other.stdout and other.stdout.endswith("Not the same.\n")


@pytest.mark.usefixtures("plain")
def test_both_parts(regstudy: Command) -> None:
    trained = regstudy("train", "c.yaml", "--on", "train+validation", "--ensemble", "--seeds", "2", *FAST)
    assert trained.returncode == 0, trained.stderr
    for words in (
        "First a training on the training part alone",
        "Epochs on both parts: ",
        "No validation images are left",
    ):
        assert words in trained.stdout, words
    assert "nan" not in trained.stdout
    assert regstudy("verify", "out", *FAST).returncode == 0


WRONG: dict[tuple[str, ...], str] = {
    ("train", "c.yaml", "--seeds", "0"): "from 1 to 100, but it is 0",
    ("train", "c.yaml", "--seeds", "many"): "--seeds",
    ("train", "c.yaml", "--ensemble"): "needs several trainings",
    ("train", "c.yaml", "--on", "test"): "never trained on",
    ("train", "c.yaml", "--on", "train+validaton"): "Did you mean 'train+validation'?",
    ("train", "c.yaml", "--on", "train+validation", "--temperature"): "leaves none",
    ("evaluate",): "OUT",
    ("evaluate", "nosuch"): "nosuch does not exist",
    ("evaluate", "c.yaml"): "c.yaml is a file",
    ("evaluate", "."): "not the output folder of `regstudy train`",
    ("evaluate", ""): "empty",
    ("evaluate", "nosuch", "--device", "tpu"): "tpu",
    ("verify", "nosuch"): "nosuch does not exist",
    ("verify", ".", "--test"): "not the output folder of `regstudy train`",
    ("verify", "c.yaml", "--retrain"): "c.yaml is a file",
    ("verify", ".", "--threads", "0"): "--threads",
}


@pytest.mark.parametrize("arguments", WRONG, ids=" ".join)
def test_misuse_is_one_paragraph_and_nothing_is_written(
    plain: Path, regstudy: Command, arguments: tuple[str, ...]
) -> None:
    done = regstudy(*arguments)
    assert done.returncode == 2 and WRONG[arguments] in done.stderr, done.stderr
    assert "Traceback" not in done.stderr and done.stdout == ""
    assert [path.name for path in plain.iterdir()] == ["c.yaml"]
