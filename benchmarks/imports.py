"""Import time: how many seconds Python spends importing, and on which packages.

    python benchmarks/imports.py --rounds 5

Each case is a new interpreter under `-X importtime`; the output is the median of the rounds with the minimum and the
maximum. A package's share includes everything that it is the first to import. `report` opens a study of ten trials that
this script creates without training, so the rest of its time is reading and drawing.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import optuna

LINE = re.compile(r"import time:\s+(\d+) \|\s+(\d+) \| (\s*)(\S+)")
CASES = {
    "import regstudy": "import regstudy",
    "regstudy --help": "from regstudy.cli.app import main; main(['--help'])",
    "regstudy spaces": "from regstudy.cli.app import main; main(['spaces'])",
    "regstudy report": "from regstudy.cli.app import main; main(['report', 'results/study'])",
    "regstudy study --help": "from regstudy.cli.app import main; main(['study', '--help'])",
}
SHOWN = 5


def imported(code: str, folder: Path) -> tuple[float, dict[str, float]]:
    """Seconds of all imports, and of each package that is imported from outside itself."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", code], cwd=folder, capture_output=True, text=True, check=True
    )
    total, packages = 0.0, dict[str, float]()
    for own, _, _, name in LINE.findall(done.stderr):
        total += int(own) / 1e6
        package = name.partition(".")[0]
        packages[package] = packages.get(package, 0.0) + int(own) / 1e6
    return total, packages


def main() -> None:
    """Measure every case and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {given.rounds} rounds")
    print(f"{'':<24}{'seconds (min to max)':<28}largest shares")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "results" / "study").mkdir(parents=True)
        url = f"sqlite:///{folder / 'results' / 'study' / 'study.db'}"
        study = optuna.create_study(study_name="study", storage=url, direction="maximize")
        study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=10)
        for label, code in CASES.items():
            rounds = [imported(code, folder) for _ in range(given.rounds + 1)][1:]  # the first fills the system's cache
            totals = [total for total, _ in rounds]
            names = {package for _, packages in rounds for package in packages}
            shares = {name: median(packages.get(name, 0.0) for _, packages in rounds) for name in names}
            largest = sorted(shares, key=lambda name: -shares[name])[:SHOWN]
            spread = f"{median(totals):.2f} ({min(totals):.2f} to {max(totals):.2f})"
            print(f"{label:<24}{spread:<28}" + ", ".join(f"{name} {shares[name]:.2f}" for name in largest))
            assert "torch" not in names, f"{label} must not load torch"


if __name__ == "__main__":
    main()
