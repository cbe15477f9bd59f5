"""A run's checkpoint on disk: written between epochs, using at most 1% of the time, and read only by the same run."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from regstudy.config.fingerprint import hashed
from regstudy.config.run_config import RunConfig
from regstudy.data.image_set import Splits
from regstudy.files.file_store import DISK, FileStore
from regstudy.files.paths import given_path, path_errors
from regstudy.training.time_share import TimeShare
from regstudy.training.train_state import TrainState

CHECKPOINT_TIME_SHARE = 0.01  # at most this share of the time is spent on writing checkpoints


@dataclass
class Checkpoint:
    """One file that always holds the newest checkpoint of one run."""

    path: Path
    files: FileStore = DISK
    writing: TimeShare = field(default_factory=lambda: TimeShare(CHECKPOINT_TIME_SHARE))

    @property
    def due(self) -> bool:
        """Whether another save, as long as the last one, would stay within its share of the time."""
        return self.writing.due

    def save(self, state: TrainState, weights: dict[str, Tensor]) -> None:
        """Write the state and the best weights so far; OSError if the disk does not take them."""
        with self.writing.measured():
            content = {"identity": _identity_of(state), "state": state.state_dict(), "weights": weights}
            buffer = io.BytesIO()
            torch.save(content, buffer)
            self.files.write(self.path, buffer.getvalue())

    def load(self, state: TrainState) -> dict[str, Tensor] | None:
        """Restore a fresh state from the checkpoint and return the best weights so far.

        Returns None and leaves the state unchanged if there is no checkpoint, if it is damaged, or if it belongs to a
        different configuration, device, number of threads or torch version: the curve would not be the same.
        """
        content = _content(self.files.read(self.path))
        if content.get("identity") != _identity_of(state):
            return None
        state.load_state_dict(content["state"])
        weights: dict[str, Tensor] = content["weights"]
        return weights

    def remove(self) -> None:
        """Delete the file, if there is one."""
        self.files.remove(self.path)


@dataclass(frozen=True)
class FinishedRun:
    """One file with the result of one run that has ended, for a trial of several runs that is interrupted later."""

    path: Path
    files: FileStore = DISK

    def save(self, config: RunConfig, splits: Splits, device: torch.device, result: dict[str, Any]) -> None:
        """Write plain values and tensors; OSError if the disk does not take them."""
        buffer = io.BytesIO()
        torch.save({"identity": _identity(config, None, config, splits, device), "result": result}, buffer)
        self.files.write(self.path, buffer.getvalue())

    def load(self, config: RunConfig, splits: Splits, device: torch.device) -> dict[str, Any] | None:
        """What was saved; None as for `Checkpoint.load`."""
        content = _content(self.files.read(self.path))
        if content.get("identity") != _identity(config, None, config, splits, device):
            return None
        result: dict[str, Any] = content["result"]
        return result


def _content(stored: bytes | None) -> dict[str, Any]:
    """What a file holds; empty if there is none, or if it is damaged."""
    if stored is None:
        return {}
    try:
        content: dict[str, Any] = torch.load(io.BytesIO(stored), map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError):
        return {}
    return content


def _identity_of(state: TrainState) -> str:
    return _identity(state.whole or state.config, state.phase, state.config, state.splits, state.device)


def _identity(whole: RunConfig, phase: int | None, config: RunConfig, splits: Splits, device: torch.device) -> str:
    """Digest of everything that must be equal for a resumed run to give the same curve; all phases without one."""
    facts = [
        _plain(whole),
        _digest(config.model.weights),
        phase,
        splits.hash,
        torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        torch.get_num_threads(),
        torch.__version__,
    ]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _digest(weights: str | None) -> str | None:
    """Digest of the file of initial weights, which its path alone does not identify."""
    path = given_path(weights) if weights is not None else None
    if path is None or not path.is_file():
        return weights
    with path_errors(path, "read"), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _plain(config: RunConfig) -> dict[str, Any]:
    """As an earlier version of regstudy wrote it, so that its checkpoints can still be used."""
    return hashed(config.model_dump(mode="json"), RunConfig)
