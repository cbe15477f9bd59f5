"""A script from start to end: training, the best epoch, and the test images."""

from __future__ import annotations

import argparse
import math
import os
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from regstudy.data.preprocessing import PixelTransform, measured_statistics
from regstudy.production.script.script_parts.plain_images import Images, read_part
from regstudy.production.script.script_parts.plain_loop import Run, measure, start, train_epoch
from regstudy.production.script.script_parts.plain_optimizer import should_stop
from regstudy.production.script.script_parts.plain_settings import (
    CROP,
    DATA,
    DETERMINISTIC,
    MAXIMIZE,
    MEAN,
    METRIC,
    NORMALIZE,
    PHASES,
    SEED,
    STD,
    Settings,
)
from regstudy.production.script.script_parts.plain_split import training_and_validation
from regstudy.training.ema import WeightAverage


@dataclass
class Best:
    """The best epoch so far by the metric of the validation images, and its weights."""

    loss: float = math.inf
    epoch: int = 0
    measured: dict[str, float] = field(default_factory=dict)
    weights: dict[str, Tensor] = field(default_factory=dict)
    epochs: int = 0  # done


def make_transform(train: Images) -> PixelTransform:
    """The center crop and the normalization of every image."""
    if NORMALIZE == "train":
        mean, std = measured_statistics(train.pixels)
    else:
        mean, std = MEAN, STD
    center, spread = (torch.tensor(values).view(-1, 1, 1) for values in (mean, std))
    return PixelTransform(CROP if CROP else train.pixels.shape[-1], 1 / (255 * spread), -center / spread)


def train_phase(run: Run, train: Images, validation: Images, settings: Settings, best: Best) -> bool:
    """Train until the last epoch or early stopping, and keep the best epoch; False if training diverged."""
    values: list[float] = []
    for _ in range(settings.epochs):
        loss, accuracy = train_epoch(run, train, settings, values)
        if settings.ema:
            with run.average.used_by(run.model):  # type: ignore[union-attr]
                found = measure(run.model, validation, run.transform)
        else:
            found = measure(run.model, validation, run.transform)
        best.epochs += 1
        shown = ", ".join(f"{name} {value:.4f}" for name, value in found.items())
        print(f"epoch {best.epochs}: train loss {loss:.4f}, accuracy {accuracy:.4f}; validation {shown}", flush=True)
        if not math.isfinite(loss) or not math.isfinite(found["loss"]):
            print("Training diverged: the loss is not finite.")
            return False
        value = -found[METRIC] if MAXIMIZE else found[METRIC]
        if value < best.loss:
            weights = run.average.values if settings.ema else run.model.state_dict()  # type: ignore[union-attr]
            best.loss, best.epoch, best.measured = value, best.epochs, found
            best.weights = {name: tensor.detach().cpu().clone() for name, tensor in weights.items()}
        values.append(found[settings.monitor])
        if settings.patience is not None and should_stop(settings, values):
            print(f"Early stopping: no better {settings.monitor} for {settings.patience} epochs.")
            break
    return True


def train_network(train: Images, validation: Images, transform: PixelTransform, seed: int) -> tuple[nn.Module, Best]:
    """The trained network, with the weights of its best epoch."""
    best = Best()
    if len(PHASES) > 1:
        for phase, settings in enumerate(PHASES):
            run = start(train, transform, settings, seed, phase)
            if phase and best.weights:
                run.model.load_state_dict(best.weights)
                if settings.ema:
                    run.average = WeightAverage(run.model, settings.ema)
            if not train_phase(run, train, validation, settings, best):
                break
    else:
        settings = Settings()
        run = start(train, transform, settings, seed)
        train_phase(run, train, validation, settings, best)
    if best.weights:
        run.model.load_state_dict(best.weights)
    return run.model, best


def make_repeatable(device: torch.device) -> None:
    """Let a GPU give the same curve every time; torch refuses operations that cannot. A CPU does so anyway."""
    if device.type == "cpu":
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA begins
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = False, True


def usable_devices() -> list[str]:
    """The devices that torch can use here; the first is the default."""
    gpus = [f"cuda:{number}" for number in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    return [*(["cuda", *gpus] if gpus else []), "cpu", *(["mps"] if torch.backends.mps.is_available() else [])]


def main() -> None:
    """Train, save the weights of the best epoch, and measure the test images once."""
    devices = usable_devices()
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=Path(DATA), help=f"folder of the images (default: {DATA})")
    parser.add_argument("--output", type=Path, default=Path("model.pt"), help="for the weights (default: model.pt)")
    parser.add_argument("--seed", type=int, default=SEED, help=f"default: {SEED}")
    parser.add_argument("--device", default=devices[0], help=f"{', '.join(devices)} (default: {devices[0]})")
    threads = f"of the CPU; their number decides the last bits of a result (default: {torch.get_num_threads()})"
    parser.add_argument("--threads", type=int, help=threads)
    given = parser.parse_args()
    if given.device not in devices:
        missing = "CUDA GPU" if given.device == "cuda" else f"device {given.device}"
        parser.error(f"There is no {missing} here: --device {' or '.join(devices)}.")
    if given.threads is not None and given.threads < 1:
        parser.error(f"--threads must be at least 1, but it is {given.threads}.")
    if given.output.is_dir() or not given.output.parent.is_dir():
        parser.error(f"--output must be a file in a folder that exists, but it is {given.output}.")
    if given.threads:
        torch.set_num_threads(given.threads)
    device = torch.device(given.device)
    if DETERMINISTIC:
        make_repeatable(device)
    train, validation = (part.to(device) for part in training_and_validation(given.data))
    print(f"{len(train)} images to train on, {len(validation)} to validate on, {len(train.classes)} classes")
    transform = make_transform(train).to(device)
    model, best = train_network(train, validation, transform, given.seed)
    if not best.weights:
        raise SystemExit("No epoch had a usable result.")
    torch.save(best.weights, given.output)
    print(f"Best epoch {best.epoch}: validation {METRIC} {best.measured[METRIC]:.4f}. Weights: {given.output}")
    test = read_part("test", given.data)  # once, after everything has been decided
    if test is not None:
        found = measure(model, test.to(device), transform)
        print("Test: " + ", ".join(f"{name} {value:.4f}" for name, value in found.items()))
