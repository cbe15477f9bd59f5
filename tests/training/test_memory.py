"""A lack of memory, of whatever device: what is said, that all is given back, and that other errors pass."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from tiny import CPU, make_config, make_splits
from torch import Tensor, nn

from regstudy.errors import NotEnoughMemory, RegstudyError, describe, lacks_memory
from regstudy.training import memory
from regstudy.training.memory import DeviceMemory, enough_memory, shortage
from regstudy.training.run import run

CUDA = (
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.10 GiB of which 1.2 GiB is free."
    " Process 77 has 12.00 GiB memory in use."
)
LINUX = (
    "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate"
    " 3000000000 bytes. Error code 12 (Cannot allocate memory)"
)
WINDOWS = (
    "[enforce fail at alloc_cpu.cpp:80] data. DefaultCPUAllocator: not enough memory: you tried to allocate 3000000000"
    " bytes."
)
LACK = [
    (torch.OutOfMemoryError(CUDA), "asked for 2.1 GB more"),
    (RuntimeError(LINUX), "asked for 3.0 GB more"),
    (RuntimeError(WINDOWS), "asked for 3.0 GB more"),
    (MemoryError(), "failed (out of memory ())"),
    (RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be reported later"), "failed (out of memory ("),
    (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), "failed (out of"),
    (RuntimeError("MPS backend out of memory (MPS allocated: 5.3 GB)"), "failed (out of memory ("),
]
OTHER = [RuntimeError("shape '[2, 3]' is invalid"), ValueError("not enough memory: you tried to allocate"), KeyError(1)]


@pytest.mark.parametrize(("error", "words"), LACK)
def test_every_lack_of_memory_reads_alike(error: Exception, words: str) -> None:
    config = make_config({"training.batch_size": 512})
    assert lacks_memory(error) and describe(error).startswith("out of memory (")
    text = shortage(error, config, torch.device("cuda:1"), DeviceMemory(80e9, 1e9, 20e9, 26e9))
    assert text.startswith(f"out of memory: training with batch_size 512 {words}")
    assert (
        "cuda:1 has 80.0 GB: 20.0 GB are held by this training, of its share of 26.0 GB, 59.0 GB by other processes and"
        " the driver, and 1.0 GB are free." in text
    )
    assert "share" not in shortage(error, config, torch.device("cuda:1"), DeviceMemory(80e9, 1e9, 20e9))
    assert "the machine has 8.0 GB: 500 MB are held by this process, and 2.0 GB are free. Use a smaller" in shortage(
        error, config, CPU, DeviceMemory(8e9, 2e9, 5e8)
    )


@pytest.mark.parametrize("error", OTHER)
def test_other_errors_pass_unchanged(error: Exception) -> None:
    assert not lacks_memory(error)
    with pytest.raises(type(error)) as raised, enough_memory(make_config(), CPU):
        raise error
    assert raised.value is error


class Greedy(nn.Module):
    """A network that holds a tensor when memory is not enough, in a frame of the error."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.weight, self.error = nn.Parameter(torch.ones(1)), error
        self.held: weakref.ref[Tensor] | None = None

    def forward(self, images: Tensor) -> Tensor:
        large = images * self.weight
        self.held = weakref.ref(large)
        raise self.error


@pytest.mark.parametrize("error", [torch.OutOfMemoryError(CUDA), RuntimeError(LINUX)])
def test_a_run_ends_with_the_paragraph_and_gives_the_memory_back(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    network = Greedy(error)
    monkeypatch.setattr("regstudy.models.build", lambda *_: network)
    monkeypatch.setattr(memory, "give_back_memory", lambda: given.append(True))
    given: list[bool] = []
    gc.disable()
    try:
        with pytest.raises(NotEnoughMemory, match="batch_size 8 asked for") as raised:
            run(make_config(), make_splits(), CPU)
        assert network.held is not None and network.held() is None, "a frame of the error still holds the tensor"
    finally:
        gc.enable()
    assert given == [True] and raised.value.__cause__ is error and isinstance(raised.value, RegstudyError)
