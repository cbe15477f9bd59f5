"""The arguments of an exported script: a wrong one is one line, before anything is read or trained."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch

from regstudy.config.run_config import parse_config
from regstudy.production.script.generate import training_script

Call = Callable[..., None]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Runs the script with arguments, in a folder without images, on a machine without a GPU."""
    config = parse_config({"data": {"name": "digits"}, "model": {"name": "small_cnn"}}, "the configuration")
    module = ModuleType("exported_arguments")
    monkeypatch.setitem(sys.modules, "exported_arguments", module)  # where dataclasses look for the names of types
    exec(compile(training_script(config, "", {"shape": [1, 8, 8]}), "train.py", "exec"), module.__dict__)
    monkeypatch.chdir(tmp_path)
    gpus(monkeypatch, 0)

    def called(*arguments: str) -> None:
        monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
        module.main()

    return called


def gpus(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.mark.parametrize(
    ("count", "arguments", "line"),
    [
        (0, ["--device", "cuda"], "There is no CUDA GPU here: --device cpu."),
        (0, ["--device", "gpu"], "There is no device gpu here: --device cpu."),
        (0, ["--device", "mps"], "There is no device mps here: --device cpu."),
        (1, ["--device", "cuda:1"], "There is no device cuda:1 here: --device cuda or cuda:0 or cpu."),
        (0, ["--threads", "0"], "--threads must be at least 1, but it is 0."),
        (0, ["--threads", "-1"], "--threads must be at least 1, but it is -1."),
        (0, ["--output", "nowhere/model.pt"], "--output must be a file in a folder that exists, but it is nowhere/mod"),
        (0, ["--output", "."], "--output must be a file in a folder that exists, but it is ."),
    ],
)
def test_a_wrong_argument_is_one_line(
    count: int,
    arguments: list[str],
    line: str,
    call: Call,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    gpus(monkeypatch, count)
    with pytest.raises(SystemExit) as ended:
        call(*arguments)
    assert ended.value.code == 2 and f"error: {line}" in capsys.readouterr().err


def test_help_shows_the_defaults(
    call: Call, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for count, devices in ((0, "cpu (default: cpu)"), (1, "cuda, cuda:0, cpu (default: cuda)")):
        gpus(monkeypatch, count)
        with pytest.raises(SystemExit):
            call("--help")
        text = " ".join(capsys.readouterr().out.split())
        assert devices in text and "for the weights (default: model.pt)" in text
        assert f"bits of a result (default: {torch.get_num_threads()})" in text
