"""benchmarks/gpu.py without a GPU, so that it runs the first time on a machine that has one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    threads = torch.get_num_threads()
    yield import_module("gpu")
    torch.set_num_threads(threads)


def states(folder: Path, part: str) -> dict[str, str]:
    """What the file of a part says of each check."""
    found = json.loads((folder / f"{part}.json").read_text(encoding="utf-8"))
    return {check["title"]: check["state"] for check in found["checks"]}


@pytest.mark.table
def test_the_checks_on_a_cpu(benchmark: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmark.main(["--part", "check", "--device", "cpu", "--tiny", "--out", str(tmp_path)]) == 0
    assert states(tmp_path, "check") == {
        "losses of 20 steps, CPU and GPU": "pass",
        "bf16 next to fp32": "pass",
        "resume to the bit": "pass",
        "no waiting within an epoch": "skipped",
        "out of memory": "skipped",
        "images per second": "info",
        "processes on one GPU": "info",
    }
    assert "dropout_cnn, 32, 1×32×32 (digits_cnn)" in (tmp_path / "check.txt").read_text(encoding="utf-8")
    assert "TFLOP/s" in capsys.readouterr().out


@pytest.mark.table
def test_the_study_on_a_cpu(benchmark: ModuleType, tmp_path: Path) -> None:
    assert benchmark.main(["--part", "study", "--device", "cpu", "--tiny", "--out", str(tmp_path)]) == 0
    assert states(tmp_path, "study") == {"images of SVHN's shape": "pass", "svhn_resnet, 1 worker": "info"}
    assert "all 6 trials in" in (tmp_path / "study.txt").read_text(encoding="utf-8")


@pytest.mark.usefixtures("benchmark")
def test_a_study_that_is_cut_short_still_tells(tmp_path: Path) -> None:
    study = import_module("gpu_study")
    report = import_module("gpu_report").Report(tmp_path, "study", torch.device("cpu"), 100)
    report.check("images", lambda found: study.prepare(found, tmp_path, True))
    report.check("cut", lambda found: study.study(found, report, tmp_path, 1, 0.01, True))
    cut = report.found[1]
    assert (cut.state, cut.line) == ("info", "too few trials to extrapolate from: 0")
    assert any(line.startswith("stopped after") for line in cut.lines)


@pytest.mark.usefixtures("benchmark")
def test_a_check_that_fails_is_a_row_and_the_next_one_runs(tmp_path: Path) -> None:
    report = import_module("gpu_report").Report(tmp_path, "check", torch.device("cpu"), 100)

    def broken(found: Any) -> None:
        found.say("so far")
        raise RuntimeError("CUDA error:\n  an illegal memory access")

    report.check("broken", broken)
    report.check("sound", lambda found: found.verdict(True, "yes"))
    report.check("wrong", lambda found: found.verdict(False, "no"))
    report.check("long", lambda found: found.verdict(True, "yes"), needs=1000)
    assert states(tmp_path, "check") == {"broken": "ERROR", "sound": "pass", "wrong": "FAIL", "long": "skipped"}
    text = (tmp_path / "check.txt").read_text(encoding="utf-8")
    assert "RuntimeError: CUDA error: an illegal memory access" in text and "so far" in text
    assert report.end() == 1
    report.when_late = lambda: report.found[-1].say("how far it came")
    report.late()
    assert states(tmp_path, "check")["long"] == "ERROR"
    assert "how far it came" in (tmp_path / "check.txt").read_text(encoding="utf-8")


@pytest.mark.usefixtures("benchmark")
@pytest.mark.parametrize(
    ("outcomes", "workers", "expected"),
    [
        (["finished"] * 5, 1, 7.0 + 50 * 12),  # two seconds between trials
        (["finished"] * 5, 2, 7.0 + 50 * 10 / 2),
        (["finished", "failed"] * 5, 2, 7.0 + 50 * 10 / 2),  # a failed trial is trained again
        (["pruned"] * 5, 2, 7.0 + 50 * 10 / 2),
    ],
)
def test_the_time_of_all_trials(outcomes: list[str], workers: int, expected: float) -> None:
    study = import_module("gpu_study")
    log = study.Log(ends=1e9, began=100.0, started=107.0)
    for place, outcome in enumerate(outcomes, 1):
        log.trials.append((SimpleNamespace(outcome=outcome, seconds=10.0), 107.0 + 12.0 * place))
    low, middle, high = study.extrapolated(log, 50, workers)
    assert low == pytest.approx(expected) and middle == pytest.approx(expected) and high == pytest.approx(expected)


@pytest.mark.usefixtures("benchmark")
def test_a_mixture_of_pruned_and_finished_trials_has_a_spread() -> None:
    study = import_module("gpu_study")
    log = study.Log(ends=1e9, began=100.0, started=100.0)
    for place, (outcome, seconds) in enumerate([("pruned", 2.0), ("finished", 12.0)] * 5, 1):
        log.trials.append((SimpleNamespace(outcome=outcome, seconds=seconds), 100.0 + 7.0 * place))
    low, middle, high = study.extrapolated(log, 50, 1)
    assert low < middle < high
    assert middle == pytest.approx(36 * 7 + 14 * 12, abs=15)  # confirmation runs are not pruned


@pytest.mark.usefixtures("benchmark")
def test_wheels_are_what_the_machine_lacks() -> None:
    wheels = import_module("gpu_wheels")
    names = [one.partition("==")[0] for one in wheels.needed(wheels.project_dependencies(), wheels.HAVE, "3.12")]
    assert {"optuna", "sqlalchemy", "pydantic-core", "plotly", "ruamel-yaml", "mako", "colorlog", "bottle"} <= {*names}
    assert not {name for name in names if name.startswith(("torch", "nvidia", "numpy", "scipy", "sympy", "triton"))}
    fewer = wheels.needed(wheels.project_dependencies(), {*wheels.HAVE, "Optuna_Dashboard"}, "3.12")
    assert "bottle" not in " ".join(fewer)
    assert wheels.needed(["torch>=2; sys_platform == 'win32'", "tqdm; python_version < '3.12'"], (), "3.12") == []
    with pytest.raises(SystemExit, match="not installed here"):
        wheels.needed(["no-such-package-anywhere"], (), "3.12")


def test_without_a_gpu_the_script_says_what_to_do(
    benchmark: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit) as ended:
        benchmark.main(["--part", "check", "--out", str(tmp_path / "out")])
    assert ended.value.code == 2 and "--device cpu --tiny" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--only", "nonsense"], "no check has 'nonsense' in its title; there are: losses of 20 steps, CPU and GPU; "),
        (["--only", "resume", "nonsense"], "no check has 'nonsense' in its title"),
        (["--part", "study", "--only", "resume"], "--only chooses among the checks of --part check"),
        (["--device", "gpu"], "argument --device: invalid choice: 'gpu' (choose from "),
        (["--seconds", "0"], "--seconds must be above 0, but it is 0.0"),
        (["--workers", "0"], "--workers must be at least 1, but it is 0"),
        (["--workers"], "argument --workers: expected at least one argument"),
    ],
)
def test_a_wrong_argument_is_one_line(
    arguments: list[str],
    line: str,
    benchmark: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(benchmark, "Report", None)  # which starts the work
    with pytest.raises(SystemExit) as ended:
        benchmark.main(["--part", "check", "--device", "cpu", "--out", str(tmp_path / "out"), *arguments])
    assert ended.value.code == 2 and f"error: {line}" in capsys.readouterr().err


def test_help_shows_the_defaults(benchmark: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        benchmark.main(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "{cuda,cpu} default: cuda;" in text and "one after the other (default: 1 4)" in text
    assert "what to run; there is no default" in text
