"""Training steps that a GPU repeats from a recording (a CUDA graph), so that the host need not launch each operation.

A small network spends most of its time on launches. A recording has fixed places in memory for what it reads, so every
step's positions and inputs are copied there first; weights, optimizer and average change where they are. Before the
recording, a few steps must run as usual; they change nothing, because everything is put back in place afterward. So a
training has the same curve with and without recordings, and may be resumed after any epoch.

Only full batches are recorded: the last, smaller one of an epoch runs as usual, and so does every step of a network
that may wait for the device or cannot be recorded.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from itertools import chain

import torch
from torch import Tensor, nn

from regstudy.training.ema import WeightAverage
from regstudy.training.step_inputs import StepInputs, packed, send, unpacked

LOG = logging.getLogger("regstudy")
WARM_UP_STEPS = 3  # as in torch's documentation of CUDA graphs

Outputs = tuple[Tensor, Tensor]
TakeStep = Callable[[Tensor, StepInputs], Outputs]  # positions, inputs
Record = Callable[[Callable[[], Outputs], torch.device], tuple[Callable[[], object], Outputs]]


@dataclass(frozen=True)
class Recording:
    """Where a recorded step reads and writes, and what repeats it."""

    positions: Tensor
    vector: Tensor
    replay: Callable[[], object]
    outputs: Outputs


@dataclass
class DeviceSteps:
    """Takes steps on a GPU. Without ``record``, none is recorded.

    There is a recording for each combination of operations: batches may be mixed in either way or not at all.
    """

    full: int  # images of a full batch
    record: Record | None
    refused: str = ""  # why recording failed; then all steps run as usual
    recordings: dict[tuple[bool, ...], Recording] = field(default_factory=dict)

    def take(
        self, step: TakeStep, positions: Tensor, inputs: StepInputs, changing: Changing, device: torch.device
    ) -> Outputs:
        """Take a step on the images at these positions, with inputs from the CPU."""
        vector = send(packed(inputs), device)
        if self.record is None or self.refused or len(positions) != self.full:
            return step(positions, unpacked(vector, inputs))
        kind = (changing.model.training, *inputs.used)
        if kind not in self.recordings:
            try:
                self.recordings[kind] = _recorded(
                    self.record, step, positions.clone(), vector, inputs, changing, device
                )
            except RuntimeError as error:  # also of CUDA, and of an operation that would wait
                self.refused = str(error).split("\n")[0]
                self.recordings.clear()
        if self.refused:  # not above, where the error would keep the memory of its steps
            outputs = step(positions, unpacked(vector, inputs))  # which may raise the same, and then says more
            LOG.warning("Training steps run one by one, which is slower: recording failed (%s)", self.refused)
            return outputs
        found = self.recordings[kind]
        found.positions.copy_(positions)
        found.vector.copy_(vector)
        found.replay()
        sums, norm = found.outputs
        return sums.clone(), norm.clone()  # the next step overwrites them


@dataclass(frozen=True)
class Changing:
    """What a step changes."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    average: WeightAverage | None

    def tensors(self) -> list[Tensor]:
        """All of its tensors, each once; the optimizer's appear with its first step."""
        states = [one for state in self.optimizer.state.values() for one in state.values() if isinstance(one, Tensor)]
        averages = self.average.values.values() if self.average else ()
        found = chain(self.model.parameters(), self.model.buffers(), states, averages)
        return list({id(tensor): tensor for tensor in found}.values())


@contextmanager
def unchanged(changing: Changing, device: torch.device) -> Iterator[None]:
    """Within this block steps may be taken; afterward everything has the values from before, at the same places.

    What an optimizer makes in its first step begins with zeros, for all optimizers of `make_optimizer`.
    """
    before = [(tensor, tensor.detach().clone()) for tensor in changing.tensors()]
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        try:
            yield
        finally:
            known = {id(tensor) for tensor, _ in before}
            with torch.no_grad():
                for tensor, value in before:
                    tensor.copy_(value)
                for tensor in changing.tensors():
                    if id(tensor) not in known:
                        tensor.zero_()
            changing.optimizer.zero_grad(set_to_none=True)


def _recorded(
    record: Record,
    step: TakeStep,
    positions: Tensor,
    vector: Tensor,
    like: StepInputs,
    changing: Changing,
    device: torch.device,
) -> Recording:
    inputs = unpacked(vector, like)
    with unchanged(changing, device):
        replay, outputs = record(lambda: step(positions, inputs), device)
    return Recording(positions, vector, replay, outputs)


def record_on_gpu(step: Callable[[], Outputs], device: torch.device) -> tuple[Callable[[], object], Outputs]:
    """Record a step; RuntimeError if it waits for the device, before anything is recorded."""
    with torch.cuda.device(device):
        usual, side = torch.cuda.current_stream(), _side_stream(device)
        side.wait_stream(usual)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.stream(side):  # it also ends the use of this stream if torch fails to end a recording
                for _ in range(WARM_UP_STEPS):
                    step()
                with _waiting_is_an_error():
                    step()
                with torch.cuda.graph(graph, stream=side, capture_error_mode="thread_local"):
                    outputs = step()
        finally:  # whatever comes next must not overtake these steps
            usual.wait_stream(side)
        return graph.replay, outputs


@cache
def _side_stream(device: torch.device) -> torch.cuda.Stream:
    """The stream of all recordings on a GPU: cuBLAS keeps tens of megabytes for every stream that was ever used."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


@contextmanager
def _waiting_is_an_error() -> Iterator[None]:
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Synchronization debug mode is a prototype", UserWarning)
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)
