"""Regenerate the result page of a reference case: its data, its runs, its tables, its picture.

    python benchmarks/cases.py cifar10_dropout --images FOLDER

FOLDER holds the archives that the cases need (see each page). Runs that are already finished under --work are not
repeated. The page is docs/results/CASE.md, from the template benchmarks/cases/CASE.md; the picture needs Chromium.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import optuna
import torch
from cases_ablation import of_ablations
from cases_data import expand_slides, photos_of, street_digit_files
from jinja2 import Environment, StrictUndefined

from regstudy.analysis.arm_statistics import Comparison, Spread, load_comparison
from regstudy.report.comparison.comparison_figures import mean_curves, seed_points
from regstudy.report.comparison.comparison_phrasing import interval_words, signed_number
from regstudy.study.storage import sqlite_url

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"
PAGE = """<!doctype html><meta charset="utf-8"><script>{plotly}</script>
<body style="font: 15px system-ui, sans-serif; margin: 16px; background: white">{figures}"""


@dataclass(frozen=True)
class Case:
    """What a page is made from: preparation of data under the working folder, and commands run there in order."""

    prepare: Callable[[Path, Path], None]  # archives, working folder
    commands: Sequence[str]
    pictured: Sequence[str]  # names of the comparisons whose seeds the picture shows


def unzip(archive: Path, folder: Path) -> None:
    """Unpack into a folder that is complete or absent."""
    if not folder.exists():
        half = folder.with_name(folder.name + ".half")
        shutil.rmtree(half, ignore_errors=True)
        with zipfile.ZipFile(archive) as file:
            file.extractall(half)
        half.rename(folder)


def cifar10(archives: Path, work: Path) -> None:
    """The archive of CIFAR-10 as images where the data set looks for it."""
    folder = work / "data" / "cifar10"
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / "cifar10_images.zip"
    if not link.exists():
        link.symlink_to((archives / "cifar10_images.zip").absolute())


def slides(archives: Path, work: Path) -> None:
    """White blood cells, each expanded to four variants, and windows of blood smears as they are."""
    for name, variants in (("smear_wbc", 4), ("smear_cells", 1)):
        unzip(archives / f"{name}.zip", work / "raw" / name)
        expand_slides(work / "raw" / name, work / "data" / name, variants)


def photos(archives: Path, work: Path) -> None:
    """Two classes of CIFAR-10 as photos in folders, and drawn digits as files to pretrain on."""
    unzip(archives / "cifar10_images.zip", work / "raw" / "cifar10")
    photos_of(work / "raw" / "cifar10", work / "data" / "photos", ("airplane", "automobile"), 600)
    street_digit_files(5000, work / "data" / "digit_files", work / "data")


def nothing(_archives: Path, _work: Path) -> None:
    """Cases whose images are drawn need none."""


COMPARE = "regstudy compare --workers 2"
CASES = {
    "cifar10_dropout": Case(
        cifar10,
        [
            f"{COMPARE} cifar10_dropout --study cifar10_dropout --repeats 3"
            ' --arm "no dropout: model.dropout=0" --arm "dropout 0.25: model.dropout=0.25"',
            "regstudy study --space cifar10_dropout --study dropout_5000 --set data.train_limit=5000"
            " --set data.validation=2000 --trials 12 --threads 1",
            "regstudy ablate results/dropout_5000 --runs 60 --threads 1",
        ],
        ["cifar10_dropout"],
    ),
    "svhn": Case(
        nothing,
        [
            f"{COMPARE} svhn_resnet svhn_vgg --study models --repeats 5 --set training.epochs=3"
            " --set training.batch_size=64 --set augmentation.strength=1",
            f"{COMPARE} {{cases}}/one_phase.yaml {{cases}}/two_phase.yaml {{cases}}/two_phase_deep.yaml"
            " --study recipes --repeats 2",
        ],
        ["models", "recipes"],
    ),
    "smear": Case(
        slides,
        [
            f"{COMPARE} {{cases}}/smear.yaml --study {images}_{split} --repeats 3"
            f" --set data.root=data/{images} --set 'data.group={rule}'"
            ' --arm "no regularizer: model.dropout=0"'
            ' --arm "dropout and decay: model.dropout=0.5, regularization.l2=1e-3"'
            for images, rule_of_slides in (("smear_wbc", r"(\d+)_"), ("smear_cells", r"(BloodImage_\d+)"))
            for split, rule in (("torn", "null"), ("whole", rule_of_slides))
        ],
        ["smear_wbc_torn", "smear_wbc_whole"],
    ),
    "binary": Case(
        photos,
        [
            "regstudy train {cases}/pretrain.yaml -o results/pretrained",
            f"{COMPARE} {{cases}}/transfer.yaml --study transfer --repeats 5"
            " --set model.weights=results/pretrained/model.safetensors"
            ' --arm "everything trained: model.trainable=all" --arm "last stage and head: model.trainable=last_stage"'
            ' --arm "head alone: model.trainable=head"',
            "regstudy train {cases}/transfer.yaml -o results/resnet50 --set model.name=resnet50_transfer"
            " --set model.weights=null --set training.epochs=2",
        ],
        ["transfer"],
    ),
    "step_lr": Case(
        cifar10,
        [
            f"{COMPARE} {{cases}}/step_lr.yaml --study step_lr --repeats 5"
            ' --arm "constant 0.1: schedule.name=constant"'
            ' --arm "StepLR 30, 0.1: schedule={{name: step, step_size: 30, gamma: 0.1}}"'
        ],
        ["step_lr"],
    ),
}


def main() -> None:
    """Run what is not finished yet and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", choices=CASES)
    parser.add_argument("--images", type=Path, default=os.environ.get("REGSTUDY_TEST_DATA"), help="folder of archives")
    parser.add_argument("--work", type=Path, default=Path("results/cases"), help="where data and studies are kept")
    given = parser.parse_args()
    case, work = CASES[given.case], given.work.absolute()
    work.mkdir(parents=True, exist_ok=True)
    case.prepare(Path(given.images or "."), work)
    for command in case.commands:
        typed = command.format(cases=HERE / "cases")
        print(f"$ {typed}", flush=True)
        words = [sys.executable, "-m", *shlex.split(typed)]
        if words[2:4] != ["regstudy", "train"] or not (work / words[words.index("-o") + 1] / "metrics.json").exists():
            subprocess.run(words, cwd=work, check=True)
    found = {name: load(work / "results" / name) for name in studies(work, case)}
    picture = DOCS / "images" / f"case_{given.case}.png"
    take_picture([found[name] for name in case.pictured], picture)
    (DOCS / "results").mkdir(exist_ok=True)
    (DOCS / "results" / f"{given.case}.md").write_text(render(given.case, case, found, work), encoding="utf-8")


def studies(work: Path, case: Case) -> list[str]:
    """Names of the case's comparisons; one on substitute data is named after them too."""
    compared = [shlex.split(command) for command in case.commands if command.startswith(COMPARE)]
    wanted = [words[words.index("--study") + 1] for words in compared]
    return [path.name for path in sorted((work / "results").iterdir()) if path.name.partition("@")[0] in wanted]


def load(folder: Path) -> Comparison:
    """The comparison in a study's folder."""
    return load_comparison(optuna.load_study(study_name=folder.name, storage=sqlite_url(folder / "study.db")))


def render(name: str, case: Case, found: dict[str, Comparison], work: Path) -> str:
    """The page: the template with numbers, and what the tool itself says of each comparison."""

    def spread(study: str, arm: str, measure: str) -> Spread:
        return next(a for a in found[study].arms if a.name == arm).spreads[measure]

    def cell(study: str, arm: str, measure: str) -> str:
        """Mean ± standard deviation, in per cent or points."""
        return f"{100 * spread(study, arm, measure).mean:.1f} ± {100 * spread(study, arm, measure).sd:.1f}"

    def low(study: str, arm: str, measure: str) -> str:
        return f"{100 * spread(study, arm, measure).low:.1f}"

    def sd(study: str, arm: str, measure: str) -> str:
        return f"{100 * spread(study, arm, measure).sd:.1f}"

    def mean(study: str, arm: str, measure: str) -> str:
        return f"{100 * spread(study, arm, measure).mean:.1f}"

    def change(study: str, arm: str, measure: str) -> str:
        """The paired difference from the first arm with its interval, in points."""
        difference = found[study].difference(arm, measure)
        mean = signed_number(difference.paired.mean, difference.metric)
        return f"{mean} points (95 % interval {interval_words(difference)})"

    def fall(study: str, before: str, after: str, measure: str) -> str:
        return f"{100 * (spread(study, before, measure).mean - spread(study, after, measure).mean):.1f}"

    def between(study: str, arm: str, first: int, last: int) -> str:
        """Mean validation accuracy over some epochs and all seeds, in per cent."""
        curves = next(a for a in found[study].arms if a.name == arm).curves["val_accuracy"]
        return f"{100 * curves['mean'].loc[first:last].mean():.1f}"

    def trained(folder: str, measure: str) -> str:
        """A measure of a single training run's best epoch, in per cent."""
        metrics = json.loads((work / "results" / folder / "metrics.json").read_text(encoding="utf-8"))
        return f"{100 * metrics[measure]:.1f}"

    def seconds(study: str, arm: str) -> str:
        return f"{next(a for a in found[study].arms if a.name == arm).seconds:.0f}"

    def said(study: str) -> str:
        text = (work / "results" / study / "comparison.md").read_text(encoding="utf-8")
        return text.partition("\n")[2].partition("Made by:")[0].strip()

    template = (HERE / "cases" / f"{name}.md").read_text(encoding="utf-8")
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
    return environment.from_string(template).render(
        cell=cell,
        between=between,
        trained=trained,
        mean=mean,
        low=low,
        sd=sd,
        change=change,
        fall=fall,
        seconds=seconds,
        said=said,
        **of_ablations(work / "results"),
        commands=[c.format(cases="benchmarks/cases") for c in case.commands],
        machine=f"{os.cpu_count()} cores of {cpu()}, no GPU; torch {torch.__version__}, fp32",
        picture=f"../images/case_{name}.png",
        again=f"python benchmarks/cases.py {name} --images FOLDER",
    )


def cpu() -> str:
    """The processor's name where the system tells it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def take_picture(comparisons: Sequence[Comparison], path: Path) -> None:
    """Every seed and the mean curves of some comparisons as one PNG; says so and goes on where there is no browser."""
    browser = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chrome")
    if browser is None:
        print(f"No Chromium: {path.name} is not drawn anew.")
        return
    figures, height = [], 32
    for found in comparisons:
        for drawing in [seed_points(found), *mean_curves(found)[:3]]:
            drawing.figure.update_layout(width=960, height=340, margin={"b": 60})
            plain = {"full_html": False, "include_plotlyjs": False, "config": {"displayModeBar": False}}
            figures.append(f"<p><b>{drawing.title}</b></p>" + drawing.figure.to_html(**plain))
            height += 340 + 56
    from plotly.offline import get_plotlyjs

    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "page.html"
        page.write_text(PAGE.format(plotly=get_plotlyjs(), figures="".join(figures)), encoding="utf-8")
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--virtual-time-budget=8000"]
        flags += [f"--user-data-dir={folder}/profile", f"--window-size=1000,{height}", f"--screenshot={path}"]
        subprocess.run([browser, *flags, page.as_uri()], check=True, capture_output=True)


if __name__ == "__main__":
    main()
