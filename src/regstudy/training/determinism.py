"""The same curve for the same seed on the same GPU, to the bit: `training.deterministic`.

On a CPU the same number of threads always gives the same curve, so nothing is changed there. On a GPU, some operations
add numbers in the order in which threads happen to finish. torch has another version of most of them, which is slower,
and refuses the others (docs.pytorch.org/docs/stable/notes/randomness.html).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from regstudy.config.run_config import RunConfig
from regstudy.config.user_code import own_line
from regstudy.errors import ConfigError

WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"  # the variable that cuBLAS reads when it begins
REPEATABLE = (":4096:8", ":16:8")  # its values with which cuBLAS gives the same sums every time
LACKS_VERSION = " does not have a deterministic implementation"  # in the message of torch


def prepare_cublas() -> None:
    """Let cuBLAS have a fixed workspace, which training may need later; what the user has set stays.

    It must be set before CUDA begins. Worker processes inherit it.
    """
    if not _begun():
        os.environ.setdefault(WORKSPACE, REPEATABLE[0])


@contextmanager
def repeatable(config: RunConfig, device: torch.device) -> Iterator[None]:
    """Within the block torch computes what the configuration asks for: deterministic or as fast as possible.

    Afterwards its settings are as before. Raises ConfigError if an operation has no deterministic version, or if it is
    too late for cuBLAS.
    """
    wanted = any(phase.training.deterministic for phase in config.in_phases())
    if not wanted or device.type == "cpu":
        yield
        return
    if device.type == "cuda":
        _check_workspace()
    cudnn = torch.backends.cudnn
    before = cudnn.benchmark, cudnn.deterministic
    enabled, warns = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    try:
        torch.use_deterministic_algorithms(True)
        cudnn.benchmark, cudnn.deterministic = False, True
        yield
    except RuntimeError as error:
        if LACKS_VERSION not in str(error):
            raise
        raise ConfigError(_refusal(error, device)) from error
    finally:
        torch.use_deterministic_algorithms(enabled, warn_only=warns)
        cudnn.benchmark, cudnn.deterministic = before


def _check_workspace() -> None:
    found = os.environ.get(WORKSPACE)
    if found is None and not _begun():
        prepare_cublas()
    elif found not in REPEATABLE:
        now = f"is {found!r}" if found is not None else "is not set, and this process has used the GPU before"
        raise ConfigError(
            f"training.deterministic: the environment variable {WORKSPACE} {now}. It must be {' or '.join(REPEATABLE)}"
            f" when Python starts: export {WORKSPACE}={REPEATABLE[0]}, or leave training.deterministic out."
        )


def _begun() -> bool:
    return bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]


def _refusal(error: RuntimeError, device: torch.device) -> str:
    operation, where = str(error).partition(LACKS_VERSION)[0].split()[-1], own_line(error)
    return (
        f"training.deterministic: the operation {operation} has no deterministic version on {device.type}"
        f"{f' ({where})' if where else ''}. Use another layer or network without it, such as AvgPool2d for an adaptive"
        " pooling, or train on a CPU (--device cpu), or leave training.deterministic out (--set"
        " training.deterministic=false)."
    )
