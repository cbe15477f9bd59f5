"""What `training.clean_train_every: auto` saves: CPU time of whole trainings compared with measuring in every epoch.

    python benchmarks/clean_interval.py [--seeds 3]

The default configurations of the spaces, with few images for the residual network; without early stopping, one thread,
alternating. Also says in what share of the epochs clean training was measured.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from statistics import median

import torch

from regstudy import data
from regstudy.data.image_set import Splits
from regstudy.space.loader import load_space
from regstudy.training.devices import keep_freed_memory
from regstudy.training.run import run
from regstudy.training.train_state import start

CASES: dict[str, tuple[str, list[str], int]] = {
    "digits_cnn": ("digits_cnn", [], 30),
    "svhn_resnet, 400 images": ("svhn_resnet", ["data.train_limit=320", "data.validation=80"], 4),
}


def main() -> None:
    """Print one line per case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--data-dir", type=Path, default=Path(os.environ.get("REGSTUDY_TEST_DATA", "data")))
    given = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    for name, (space, sets, epochs) in CASES.items():
        asked = load_space(Path("search_spaces") / f"{space}.yaml", [])
        config = (asked.fallback or asked).defaults()
        changes = {path: int(value) for path, value in (one.split("=") for one in sets)}
        config = config.replaced({**changes, "training.epochs": epochs, "training.patience": None})
        splits = data.prepare(config.data, given.data_dir)
        ratios, shares = [], []
        for seed in range(given.seeds):
            seconds = {}
            for every in (1, "auto"):
                own = config.replaced({"training.seed": seed, "training.clean_train_every": every})
                began = time.process_time()
                found = run(own, splits, torch.device("cpu")).result
                seconds[every] = time.process_time() - began
            ratios.append(seconds["auto"] / seconds[1])
            shares.append(sum(record.has_clean_train for record in found.records) / len(found.records))
        print(f"{name}: {_counts(splits)}, every {start(own, splits, torch.device('cpu')).clean_train_every} epochs")
        spread = f"{median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"
        print(f"  takes {spread} of the time; measured in {median(shares):.0%} of the epochs", flush=True)


def _counts(splits: Splits) -> str:
    parts = (("trained", splits.train), ("clean", splits.clean_train), ("validation", splits.validation))
    return ", ".join(f"{len(images)} {name}" for name, images in parts)


if __name__ == "__main__":
    main()
