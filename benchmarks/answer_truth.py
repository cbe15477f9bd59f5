"""What a configuration is truly worth: the mean test accuracy of fresh trainings, for `answer.py`.

All contestants' configurations are trained in the same way, by `regstudy.training.run.run`. Repeat r has the same fresh
training seed and the same fresh split in every configuration, so that differences are paired. The weights of the best
validation epoch are tested, in repeat r on fifth r mod 5 of the 10,000 test images. A line of `truth.jsonl` is one
training; those that are there are not made again, also after a kill.
"""

from __future__ import annotations

import json
import multiprocessing
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from regstudy.config.fingerprint import fingerprint, hashed
from regstudy.config.run_config import RunConfig, parse_config
from regstudy.data import open_test
from regstudy.data.image_set import ImageSet, Splits
from regstudy.data.pool import Pool, load_pool
from regstudy.files import write_atomically
from regstudy.training.cost import seconds_per_image
from regstudy.training.devices import keep_freed_memory
from regstudy.training.evaluation import evaluate
from regstudy.training.precision import resolve
from regstudy.training.run import run

TEST_IMAGES, TEST_PARTS = 10_000, 5
FIRST_SEED = 1000  # of training and split; the searches use others
CPU = torch.device("cpu")
_images: tuple[Pool, ImageSet]  # of a process


def plain_form(config: RunConfig) -> RunConfig:
    """A configuration without what does not belong to it: its seeds, and the number format that it was first run in."""
    precision = resolve("auto", CPU)
    return config.replaced({"training.seed": 0, "data.split_seed": 0, "training.precision": precision})


def identity(config: RunConfig) -> str:
    """The same for equal configurations."""
    return fingerprint(hashed(plain_form(config).model_dump(mode="json"), RunConfig))


def read_truth(file: Path) -> dict[str, dict[int, dict[str, Any]]]:
    """The trainings by configuration and repeat."""
    found: dict[str, dict[int, dict[str, Any]]] = {}
    for line in map(json.loads, _whole_lines(file).splitlines()):
        found.setdefault(line["configuration"], {})[line["repeat"]] = line
    return found


def _whole_lines(file: Path) -> str:
    """All but a last line that a kill left incomplete."""
    text = file.read_text() if file.exists() else ""
    return text[: text.rfind("\n") + 1]


def accuracies(file: Path, repeats: int) -> dict[str, list[float]]:
    """The test accuracies of the first repeats of each configuration that has them all."""
    known = read_truth(file)
    wanted = range(repeats)
    return {
        name: [runs[r]["test_accuracy"] for r in wanted] for name, runs in known.items() if runs.keys() >= {*wanted}
    }


def complete(file: Path, data_dir: Path, configs: Mapping[str, RunConfig], repeats: int, processes: int) -> None:
    """Make the trainings that are missing, the first repeat of all configurations first."""
    known = read_truth(file)
    missing = [(name, r) for r in range(repeats) for name in configs if r not in known.get(name, {})]
    if not missing:
        return
    print(f"{len(missing)} trainings for the truth of {len(configs)} configurations", flush=True)
    write_atomically(file, _whole_lines(file))  # so that the next line starts where a line starts
    data = next(iter(configs.values())).data.model_dump(mode="json")
    work = [(name, r, plain_form(configs[name]).model_dump(mode="json")) for name, r in missing]
    began = time.time()
    context = multiprocessing.get_context("spawn")
    with context.Pool(processes, settle, (data, data_dir)) as pool, file.open("a") as lines:
        for done, line in enumerate(pool.imap_unordered(train, work), start=1):
            lines.write(json.dumps(line) + "\n")
            lines.flush()
            if done % 50 == 0 or done == len(work):
                left = (time.time() - began) / done * (len(work) - done)
                print(f"{done} of {len(work)} trainings, about {left / 60:.0f} min left", flush=True)


def settle(data: Mapping[str, Any], data_dir: Path) -> None:
    """Once per process: the images."""
    global _images
    keep_freed_memory()
    torch.set_num_threads(1)
    config = parse_config({"data": data, "model": {"name": "dropout_cnn"}}, "data").data
    _images = load_pool(config, data_dir), open_test(config, data_dir)


def train(work: tuple[str, int, dict[str, Any]]) -> dict[str, Any]:
    """One training, tested."""
    name, repeat, plain = work
    pool, whole = _images
    seed, began = FIRST_SEED + repeat, time.perf_counter()
    config = parse_config(plain, name).replaced({"training.seed": seed, "data.split_seed": seed})
    test = whole.subset(torch.arange(repeat % TEST_PARTS, len(whole), TEST_PARTS))  # as many of each class
    trained = run(config, pool.split(seed), CPU)
    model = trained.state.model
    model.load_state_dict(trained.weights)
    return {
        "configuration": name,
        "repeat": repeat,
        "test_accuracy": evaluate(model, test, trained.state.preprocessing)[1],
        "val_accuracy": trained.result.best_value,
        "epochs": len(trained.result.records),
        "seconds": round(time.perf_counter() - began, 2),
    }


def seconds_each(config: RunConfig, splits: Splits) -> float:
    """What one training of all epochs takes in a process with one thread, estimated from a few batches."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    cost = seconds_per_image(config, splits, CPU)
    torch.set_num_threads(threads)
    evaluated = len(splits.clean_train) + len(splits.validation)
    return config.training.epochs * cost.epoch(len(splits.train), evaluated) + cost.evaluate * TEST_IMAGES / TEST_PARTS
