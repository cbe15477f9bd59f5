"""Are repeats of one configuration trained faster together, stacked in one process, than one after the other?

    python benchmarks/stacked.py [--device cuda] [--spaces digits_cnn cifar10_dropout svhn_resnet] [--together 2 4 8]

Stacked, the weights of k networks lie in one tensor each, and one step trains all (torch.func: functional_call under
vmap). Each repeat keeps its own order, augmentation, batch normalization and dropout; the optimizer treats a stacked
tensor number by number, so every network gets what it would get alone. The other side is the step of regstudy, k times.

Random images with the shapes, networks and batch sizes of the spaces' default configurations. First the statistics: the
largest difference of a repeat's loss over some steps without dropout, and the mean loss over seeds with dropout. Then
the time per image of both sides, in turns; ratios within a round, median with the lowest and highest. On a CPU that is
CPU time of one process, so that other programs disturb less; on a GPU the time until it is done.
"""

from __future__ import annotations

import argparse
import copy
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import sqrt
from pathlib import Path
from statistics import mean, median, variance

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn.functional import cross_entropy

from regstudy.config.run_config import RunConfig
from regstudy.data.image_set import ImageSet, Splits
from regstudy.space.loader import load_space
from regstudy.training.decay import PENALIZED_LAYERS, is_decoupled
from regstudy.training.devices import keep_freed_memory
from regstudy.training.loop import train_step
from regstudy.training.own_loop import ConfiguredAugmentation
from regstudy.training.precision import computing_in
from regstudy.training.train_state import TrainState, start

SPACES = Path(__file__).parents[1] / "search_spaces"
SHAPES = {"digits_cnn": (1, 32), "cifar10_dropout": (3, 32), "svhn_resnet": (3, 32)}
CLASSES = tuple("0123456789")
RATE = 1e-3
SGD = {"name": "sgd", "lr": RATE, "momentum": 0.9, "nesterov": False}
STEPS_COMPARED = 5  # without dropout
SEEDS, STEPS_OF_A_SEED = 32, 40  # with dropout
CLOSE = 1e-5  # a relative difference that rounding explains


def images_like(name: str, batches: int, config: RunConfig) -> Splits:
    """Images of a space's shape whose brightness depends on the class, so that there is something to learn."""
    channels, side = SHAPES[name]
    count, generator = batches * config.training.batch_size, torch.Generator().manual_seed(0)
    labels = torch.arange(count) % len(CLASSES)
    noise = torch.randint(0, 160, (count, channels, side, side), generator=generator)
    part = ImageSet((noise + 9 * labels.view(-1, 1, 1, 1)).to(torch.uint8), labels, CLASSES)
    few = part.subset(torch.arange(min(count, 20)))
    return Splits(part, few, few, name, 0)


def configured(name: str, precision: str, dropout: float | None) -> RunConfig:
    """The default configuration of a space, without what a stacked step would have to do besides."""
    changes: dict[str, object] = {"training.precision": precision, "optimizer": {"name": "adam", "lr": RATE}}
    changes |= {f"regularization.{part}": 0 for part in ("l1", "label_smoothing", "mixup", "cutmix", "ema")}
    config = load_space(SPACES / f"{name}.yaml", []).defaults().replaced(changes)
    if dropout is None:
        return config
    return config.replaced({"model.dropout": dropout, "model.block_dropout": 0.0, "model.stochastic_depth": 0.0})


def states(config: RunConfig, splits: Splits, device: torch.device, seeds: Sequence[int]) -> list[TrainState]:
    """The repeats before their first step."""
    found = [start(config.replaced({"training.seed": seed}), splits, device) for seed in seeds]
    for state in found:
        state.model.train()
    return found


def orders(states: Sequence[TrainState]) -> list[list[Tensor]]:
    """For each repeat the batches of an epoch, by its own generator."""
    return [
        list(
            torch.split(
                torch.randperm(len(state.splits.train), generator=state.order).to(state.device),
                state.config.training.batch_size,
            )
        )
        for state in states
    ]


@dataclass
class Stack:
    """Repeats whose weights, statistics and optimizer lie in stacked tensors; the first dimension is the repeat."""

    repeats: list[TrainState]
    base: nn.Module = field(init=False)
    weights: dict[str, Tensor] = field(init=False)
    buffers: dict[str, Tensor] = field(init=False)
    changes: list[ConfiguredAugmentation] = field(init=False)
    optimizer: torch.optim.Optimizer = field(init=False)

    def __post_init__(self) -> None:
        first = self.repeats[0]
        self.weights, self.buffers = stack_module_state([state.model for state in self.repeats])
        self.base = _for_vmap(copy.deepcopy(first.model).to("meta"))
        self.changes = [
            ConfiguredAugmentation(state.config, state.preprocessing, state.splits.train.shape[0], state.augmentation)
            for state in self.repeats
        ]
        penalized = {
            f"{name}.weight" for name, module in first.model.named_modules() if isinstance(module, PENALIZED_LAYERS)
        }
        coupled = 0.0 if is_decoupled(first.config) else first.config.regularization.l2
        groups = [
            {"params": [self.weights[name] for name in self.weights if name in penalized], "weight_decay": coupled},
            {"params": [self.weights[name] for name in self.weights if name not in penalized], "weight_decay": 0.0},
        ]
        groups = [group for group in groups if group["params"]]
        if first.config.optimizer.name == "sgd":
            self.optimizer = torch.optim.SGD(groups, lr=RATE, momentum=0.9, fused=True)
        else:
            self.optimizer = torch.optim.Adam(groups, lr=RATE, fused=True)

    def step(self, batches: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """One step of every repeat on its own images: ([summed loss, correct], gradient norm) of each, 2×k and k."""
        parts = [
            change(state.splits.train.images.index_select(0, places))
            for change, state, places in zip(self.changes, self.repeats, batches, strict=True)
        ]
        images, places = torch.stack(parts), torch.stack(list(batches))
        labels, first = self.repeats[0].splits.train.labels[places], self.repeats[0]
        with computing_in(first.precision, first.device):
            logits = vmap(self._logits, randomness="different")(self.weights, self.buffers, images)
        logits = logits.float()
        losses = vmap(cross_entropy)(logits, labels)
        self.optimizer.zero_grad(set_to_none=True)
        losses.sum().backward()
        squares = [one.grad.flatten(1).square().sum(1) for one in self.weights.values() if one.grad is not None]
        self.optimizer.step()
        correct = (logits.detach().argmax(2) == labels).sum(1)
        return torch.stack([losses.detach() * labels.shape[1], correct]), torch.stack(squares).sum(0).sqrt()

    def _logits(self, weights: dict[str, Tensor], buffers: dict[str, Tensor], images: Tensor) -> Tensor:
        found: Tensor = functional_call(self.base, (weights, buffers), (images,))
        return found


class Mean(nn.Module):
    """N×C×S×S to N×C×1×1."""

    def forward(self, images: Tensor) -> Tensor:
        """The mean of every channel."""
        return images.mean((2, 3), keepdim=True)


def _for_vmap(network: nn.Module) -> nn.Module:
    """The same network without operations that vmap does network by network."""
    for module in list(network.modules()):
        if isinstance(module, nn.ReLU):
            module.inplace = False
        for name, child in module.named_children():
            if isinstance(child, nn.AdaptiveAvgPool2d) and child.output_size == 1:
                setattr(module, name, Mean())
    return network


def losses_alone(repeats: Sequence[TrainState], steps: int) -> Tensor:
    """The losses of each repeat over some steps of regstudy, trained one after the other: k×steps."""
    rows = []
    for state, batches in zip(repeats, orders(repeats), strict=True):
        torch.manual_seed(state.config.training.seed)  # for dropout
        found = [train_step(state, batches[step % len(batches)], RATE)[0][0] / len(batches[0]) for step in range(steps)]
        rows.append(torch.stack(found))
    return torch.stack(rows).cpu()


def losses_stacked(stack: Stack, steps: int) -> Tensor:
    """The same, trained together."""
    torch.manual_seed(stack.repeats[0].config.training.seed)
    every = orders(stack.repeats)
    found = []
    for step in range(steps):
        batches = [own[step % len(own)] for own in every]
        found.append(stack.step(batches)[0][0] / len(batches[0]))
    return torch.stack(found, 1).cpu()


def largest_difference(name: str, device: torch.device, together: int, steps: int = STEPS_COMPARED) -> float:
    """The largest relative difference of a loss or a running statistic, alone and stacked, in fp32 without dropout."""
    # Adam divides by the size of a gradient: where that is nearly zero, a rounding error decides the sign of a step
    config = configured(name, "fp32", 0.0).replaced({"optimizer": SGD})
    splits, seeds = images_like(name, 3, config), range(together)
    single, stack = states(config, splits, device, seeds), Stack(states(config, splits, device, seeds))
    alone, stacked = losses_alone(single, steps), losses_stacked(stack, steps)
    found = [float(((alone - stacked).abs() / alone).max())]
    for number, state in enumerate(single):  # the running statistics of batch normalization
        for part, own in state.model.named_buffers():
            other = stack.buffers[part][number]
            found.append(float((own - other).abs().max() / own.abs().max().clamp(min=1e-3)))
    return max(found)


def means_over_seeds(
    name: str, device: torch.device, together: int, seeds: int = SEEDS, steps: int = STEPS_OF_A_SEED
) -> tuple[float, float, float]:
    """With dropout: mean loss over the last quarter of the steps, alone and stacked, and the difference's error."""
    config = configured(name, "fp32", 0.5)
    splits, last = images_like(name, 3, config), max(steps // 4, 1)
    alone = losses_alone(states(config, splits, device, range(seeds)), steps)[:, -last:].mean(1).tolist()
    stacked: list[float] = []
    for first in range(0, seeds, together):
        group = Stack(states(config, splits, device, range(first, min(first + together, seeds))))
        stacked += losses_stacked(group, steps)[:, -last:].mean(1).tolist()
    return mean(alone), mean(stacked), sqrt((variance(alone) + variance(stacked)) / seeds)


def ratios(
    name: str, device: torch.device, together: int, precision: str, rounds: int, steps: int
) -> tuple[float, list[float]]:
    """Milliseconds per image alone, and how many times that a stacked step takes, by round."""
    config = configured(name, precision, None)
    splits = images_like(name, 3, config)
    alone, stack = (
        states(config, splits, device, range(together)),
        Stack(states(config, splits, device, range(together))),
    )
    batches = [own[0] for own in orders(alone)]

    def one_by_one() -> None:
        for state, places in zip(alone, batches, strict=True):
            train_step(state, places, RATE)

    def at_once() -> None:
        stack.step(batches)

    for step in (one_by_one, at_once):  # the first ones allocate
        step()
        step()
    images, times = together * config.training.batch_size * steps, []
    for round_ in range(rounds):
        order = (one_by_one, at_once) if round_ % 2 == 0 else (at_once, one_by_one)
        took = {step: _seconds(step, steps, device) for step in order}
        times.append((took[one_by_one], took[at_once]))
    return 1000 * median(one for one, _ in times) / images, [both / one for one, both in times]


def _seconds(step: Callable[[], None], steps: int, device: torch.device) -> float:
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    began = clock()
    for _ in range(steps):
        step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return clock() - began


def main() -> None:
    """Print the statistics, then a line per space and number of repeats."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--spaces", nargs="+", default=list(SHAPES), choices=list(SHAPES))
    parser.add_argument("--together", nargs="+", type=int, default=[2, 4, 8])
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=5, help="of each round")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--tiny", action="store_true", help="one of everything: whether it still runs")
    given = parser.parse_args()
    if given.tiny:
        given.spaces, given.together, given.rounds, given.steps, given.seeds = given.spaces[:1], [2], 1, 1, 2
    torch.set_num_threads(given.threads)
    keep_freed_memory()
    device = torch.device(given.device)
    load = f", load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores" if hasattr(os, "getloadavg") else ""
    print(f"torch {torch.__version__}, {device}, {given.threads} threads{load}, {given.precision}")
    for name in given.spaces:
        found = largest_difference(name, device, given.together[0])
        print(
            f"{name}: without dropout, losses and statistics of {STEPS_COMPARED} steps differ by at most {found:.1e},"
            f" {'as rounding explains' if found < CLOSE else 'MORE THAN ROUNDING'}",
            flush=True,
        )
    name, steps = given.spaces[0], STEPS_OF_A_SEED if not given.tiny else 2
    alone, stacked, error = means_over_seeds(name, device, max(given.together), given.seeds, steps)
    print(
        f"{name}: with dropout 0.5, mean loss of {given.seeds} seeds alone {alone:.4f}, stacked {stacked:.4f},"
        f" difference {stacked - alone:+.4f} ± {error:.4f}",
        flush=True,
    )
    print("\nspace              batch  together   ms/image alone   stacked / alone (min to max)")
    for name in given.spaces:
        for together in given.together:
            each, every = ratios(name, device, together, given.precision, given.rounds, given.steps)
            size = configured(name, given.precision, None).training.batch_size
            spread = f"{median(every):.2f} ({min(every):.2f} to {max(every):.2f})"
            print(f"{name:<17} {size:>6} {together:>9} {each:>16.3f}   {spread}", flush=True)


if __name__ == "__main__":
    main()
