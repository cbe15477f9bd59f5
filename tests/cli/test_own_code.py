"""Modules that users write: whatever is wrong with them is one paragraph with file and line, or a failed trial."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import optuna
import pytest
from conftest import Command

from regstudy.study import attributes

pytestmark = pytest.mark.table

NUMBER = itertools.count()  # every case has a module name of its own, since Python imports a module once
NETWORK = """
import sys
from torch import nn


class Net(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.LazyLinear(classes))

    def forward(self, x):
        {forward}
        return self.net(x)


def network(channels, size, classes):
    {build}
    net = Net(classes)
    net.net[1] = nn.Linear(channels * size * size, classes)
    return net
"""
IMAGES = """
import sys
import torch


def images(part, config, data_dir):
    {load}
    from regstudy.data import ImageSet
    if part == "validation":
        return None
    pixels = torch.randint(0, 256, (60, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return ImageSet(pixels, torch.arange(60) % 2, ("a", "b"))
"""
SCHEDULE = "import sys\n\ndef rate(epochs):\n    {rate}\n    return 1.0\n"


def network(forward: str = "pass", build: str = "pass") -> str:
    return NETWORK.format(forward=forward, build=build)


def images(load: str = "pass") -> str:
    return IMAGES.format(load=load)


def schedule(rate: str = "pass") -> str:
    return SCHEDULE.format(rate=rate)


MODULES = {
    "syntax error": ("model", "def network(:\n", "network", ["cannot be imported", "SyntaxError", "line 1"]),
    "raises at import": (
        "model",
        "x = 1\nraise ValueError('too old')\n",
        "network",
        ["ValueError: too old (MODULE.py, line 2"],
    ),
    "exits at import": ("model", "import sys\nsys.exit(0)\n", "network", ["called sys.exit(0) (MODULE.py, line 2"]),
    "base exception at import": ("model", "raise GeneratorExit\n", "network", ["GeneratorExit", "MODULE.py, line 1"]),
    "imports what is missing": (
        "model",
        "import no_such_thing\n",
        "network",
        ["No module named 'no_such_thing' (MODULE.py, line 1"],
    ),
    "no module": ("model", None, "network", ["cannot be imported: there is no module 'MODULE'"]),
    "no function": ("model", network(), "networ", ["has no 'networ'", "Did you mean 'MODULE:network'?"]),
    "not callable": ("model", "network = 3\n", "network", ["is not a function"]),
    "network raises": (
        "model",
        network(build="raise KeyError('width')"),
        "network",
        ["failed: KeyError: 'width' (MODULE.py, line 17, in network"],
    ),
    "network exits": ("model", network(build="sys.exit(0)"), "network", ["called sys.exit(0) (MODULE.py, line 17"]),
    "network with a broken message": (
        "model",
        "class Odd(Exception):\n    def __str__(self):\n        return 3\n" + network(build="raise Odd"),
        "network",
        ["failed: Odd: its message cannot be shown"],
    ),
    "network is None": (
        "model",
        network(build="return None"),
        "network",
        ["must return a torch module (nn.Module), but it returned None (is its `return` missing?)"],
    ),
    "network is a class": ("model", network(build="return Net"), "network", ["the class Net itself"]),
    "network is a tuple": ("model", network(build="return Net(2), 3"), "network", ["an object of the type tuple"]),
    "too few arguments": (
        "model",
        "def network(size):\n    pass\n",
        "network",
        [
            "is called as network(channels=…, size=…, classes=…), but it is defined as network(size).",
            "It lacks the parameters 'channels', 'classes'.",
        ],
    ),
    "too many arguments": (
        "model",
        "def network(channels, size, classes, depth):\n    pass\n",
        "network",
        ["the option 'depth' is required but missing"],
    ),
    "built-in": ("model", "network = dict\n", "network", ["Python cannot read the signature"]),
    "data raises": (
        "data",
        images("open('nowhere.npz')"),
        "images",
        ["failed: FileNotFoundError", "(MODULE.py, line 7, in images: open('nowhere.npz'))"],
    ),
    "data exits": ("data", images("sys.exit()"), "images", ["called sys.exit() (MODULE.py, line 7"]),
    "data exits happily": ("data", images("sys.exit(0)"), "images", ["called sys.exit(0) (MODULE.py, line 7"]),
    "data is None": ("data", images("return None"), "images", ["has no training set"]),
    "data is a tuple": (
        "data",
        images("return (1, 2)"),
        "images",
        ["images must be an array, a tensor or a list of pictures"],
    ),
    "data without arguments": (
        "data",
        "def images():\n    pass\n",
        "images",
        ["is called as images(part, config, data_dir), but it is defined as images()"],
    ),
    "data with an argument too many": (
        "data",
        "def images(a, b, c, d):\n    pass\n",
        "images",
        ["the option 'd' is required but missing"],
    ),
    "schedule raises": (
        "schedule",
        schedule("1 / 0"),
        "rate",
        ["failed: ZeroDivisionError: division by zero (MODULE.py, line 4, in rate: 1 / 0)"],
    ),
    "schedule exits": ("schedule", schedule("sys.exit(0)"), "rate", ["called sys.exit(0) (MODULE.py, line 4"]),
    "schedule is None": ("schedule", schedule("return None"), "rate", ["returned None"]),
    "schedule without arguments": (
        "schedule",
        "def rate():\n    return 1.0\n",
        "rate",
        ["is called as rate(epochs), but it is defined as rate()"],
    ),
    "schedule with two": ("schedule", "def rate(a, b):\n    return 1.0\n", "rate", ["failed: TypeError"]),
}
COMMANDS = {
    "study": ["study", "--space", "own.yaml", "--trials", "1"],
    "dry run": ["study", "--space", "own.yaml", "--dry-run", "--no-doctor"],
    "compare": ["compare", "own.yaml", "--arm", "a", "--arm", "b: training.epochs=1", "--repeats", "2"],
    "train": ["train", "own.yaml"],
    "doctor": ["doctor", "own.yaml", "--preflight"],
    "preview": ["preview", "own.yaml"],
}
SECTIONS = {
    "data": "data: {{name: {own}}}\npreprocessing: {{normalize: half}}\nmodel: {{name: dropout_cnn}}\n",
    "model": "data: {{name: digits, train_limit: 60, validation: 60}}\nmodel: {{name: {own}}}\n",
    "schedule": "data: {{name: digits, train_limit: 60, validation: 60}}\nmodel: {{name: dropout_cnn}}\n"
    "schedule: {{name: lambda, function: {own}}}\n",
}


def write(folder: Path, section: str, source: str | None, function: str) -> str:
    """A space that names a function of the user's; returns the name of its module."""
    module = f"own_code_{next(NUMBER)}"
    if source is not None:
        (folder / f"{module}.py").write_text(source)
    text = SECTIONS[section].format(own=f"'{module}:{function}'")
    (folder / "own.yaml").write_text(text + "training: {epochs: 2, batch_size: 20}\n")
    return module


def only(command: str, section: str, words: list[str]) -> bool:
    """A command that meets the fault: a preview builds no network."""
    late = ("failed: ", "called sys.exit(0) (MODULE.py, line 17", "must return", "the class", "an object")
    return not (command == "preview" and section == "model" and words[0].startswith(late))


@pytest.mark.parametrize("case", MODULES)
@pytest.mark.parametrize("command", ["dry run"])
def test_own_code_that_fails_is_one_paragraph(
    case: str, command: str, regstudy: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(case, command, regstudy, tmp_path, monkeypatch)


@pytest.mark.table
@pytest.mark.parametrize("case", MODULES)
@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "dry run"])
def test_own_code_that_fails_is_one_paragraph_in_every_command(
    case: str, command: str, regstudy: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(case, command, regstudy, tmp_path, monkeypatch)


def check(case: str, command: str, regstudy: Command, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    section, source, function, words = MODULES[case]
    if not only(command, section, words):
        pytest.skip("a preview builds no network")
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    module = write(folder, section, source, function)
    before = sorted(path.name for path in folder.iterdir())
    done = regstudy(*COMMANDS[command])
    assert done.returncode == 2, done.stdout + done.stderr
    said = " ".join(done.stderr.split())
    assert said.startswith("error: ")
    for word in words:
        assert word.replace("MODULE", module) in said, said
    assert "Traceback" not in done.stdout + done.stderr
    assert ".. " not in said and not said.endswith("..")
    assert sorted(path.name for path in folder.iterdir()) == before


LATE = """import __main__
        __main__.calls = getattr(__main__, 'calls', 0) + 1
        if self.training and __main__.calls > 40: {}"""


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("raise ValueError('odd batch')", "ValueError: odd batch"),
        ("sys.exit(0)", "the code called sys.exit(0)"),
        ("quit()", "the code called sys.exit("),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("raise GeneratorExit", "GeneratorExit"),
    ],
)
def test_own_code_that_fails_in_a_trial_is_a_failed_trial_and_never_exit_code_0(
    fault: str, reason: str, regstudy: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["__main__"], "calls", 0, raising=False)
    module = write(tmp_path, "model", network(forward=LATE.format(fault)), "network")
    done = regstudy("study", "--space", "own.yaml", "--trials", "2", "--no-doctor")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "2 of 2 trials failed repeatedly and were given up" in done.stdout
    trials = optuna.load_study(study_name=None, storage="sqlite:///results/own/study.db").trials
    assert {trial.state.name for trial in trials} == {"FAIL"}
    for trial in trials:
        assert trial.user_attrs[attributes.REASON].startswith(reason)
        assert f"({module}.py, line 14, in forward" in trial.user_attrs[attributes.REASON]


def test_debug_shows_the_whole_traceback(regstudy: Command, tmp_path: Path) -> None:
    write(tmp_path, "model", network(build="raise KeyError('width')"), "network")
    plain = regstudy(*COMMANDS["dry run"])
    assert plain.returncode == 2 and "Traceback" not in plain.stderr
    assert "add --debug" in plain.stderr
    for words in (["--debug", *COMMANDS["dry run"]], [*COMMANDS["dry run"], "--debug"]):
        done = regstudy(*words)
        assert done.returncode == 2
        assert "Traceback (most recent call last)" in done.stderr and "raise KeyError('width')" in done.stderr
        assert done.stderr.rstrip().splitlines()[-1].startswith("error: ")
    assert "Traceback" not in regstudy(*COMMANDS["dry run"]).stderr  # it holds for one command only


def test_debug_shows_the_traceback_of_a_failed_trial(
    regstudy: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["__main__"], "calls", 0, raising=False)
    write(tmp_path, "model", network(forward=LATE.format("raise ValueError('odd batch')")), "network")
    done = regstudy("--debug", "study", "--space", "own.yaml", "--trials", "1", "--no-doctor")
    assert done.returncode == 2
    assert "Traceback (most recent call last)" in done.stdout and "in forward" in done.stdout


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mine.py:network", "Did you mean 'mine:network'?"),
        ("nets/mine.py:network", "Did you mean 'nets.mine:network'?"),
        ("./mine:network", "must be package.module:function"),
        ("mine:", "must be package.module:function"),
        (":network", "must be package.module:function"),
        ("a:b:c", "must be package.module:function"),
        ("mine:Net.build", "must be package.module:function"),
        ("own_code_nowher:network", "Did you mean 'own_code_nowhere'?"),
    ],
)
def test_names_that_are_no_modules(name: str, words: str, regstudy: Command, tmp_path: Path) -> None:
    (tmp_path / "own_code_nowhere.py").write_text("")
    (tmp_path / "own.yaml").write_text(SECTIONS["model"].format(own=f"'{name}'"))
    done = regstudy(*COMMANDS["dry run"])
    assert done.returncode == 2 and words in done.stderr


def test_a_command_that_is_ended_from_within_is_no_success(regstudy: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("regstudy.space.loader.known_spaces", lambda: sys.exit(0))
    done = regstudy("spaces")
    assert done.returncode == 2 and "sys.exit(0)" in done.stderr


def test_reading_a_study_and_listing_spaces_run_no_code_of_the_user(regstudy: Command, tmp_path: Path) -> None:
    module = write(tmp_path, "model", network(), "network")
    (tmp_path / "search_spaces").mkdir()
    (tmp_path / "search_spaces" / "listed.yaml").write_text(
        "data: {name: 'own_code_never:images'}\nmodel: {name: 'own_code_never:network'}\n"
    )
    (tmp_path / "own_code_never.py").write_text("open('touched', 'w').close()\n")
    assert regstudy("study", "--space", "own.yaml", "--trials", "1", "--no-doctor").returncode == 0
    sys.modules.pop(module)
    (tmp_path / f"{module}.py").write_text("open('touched', 'w').close()\n")
    for words in (["spaces"], ["report", "results/own"], ["export", "results/own"]):
        done = regstudy(*words)
        assert done.returncode == 0, done.stderr
    assert not (tmp_path / "touched").exists()
    assert module not in sys.modules and "own_code_never" not in sys.modules
