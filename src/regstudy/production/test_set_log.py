"""Evaluations on a test set: each is logged in the data folder before anybody sees a number, and counted once.

An evaluation has an identity, which is kept in the output folder while it runs. A command that takes up an interrupted
evaluation of the same weights finds it in the log, so that it is the same opening and not another one.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from regstudy.config.schema import Data
from regstudy.data import open_test
from regstudy.data.groups import group_keys
from regstudy.data.image_set import ImageSet
from regstudy.data.loading_events import Notice, tell
from regstudy.errors import DataError, FileError, RegstudyError, describe
from regstudy.files import check_file, make_folder, read_bytes, write_atomically
from regstudy.files.paths import path_errors

TEST_LOG_FILE = "test_openings.jsonl"  # in the data directory: every evaluation on a test set
UNFINISHED = "The evaluation on the test set was interrupted. Run the same command again."


@dataclass(frozen=True)
class TestSetLog:
    """The log in a data folder."""

    __test__ = False  # pytest takes it for a class of tests

    data_dir: Path

    @property
    def path(self) -> Path:
        """The file: one JSON object per line."""
        return self.data_dir / TEST_LOG_FILE

    def check(self) -> None:
        """FileError if evaluations on the test set cannot be logged in the data folder."""
        try:
            check_file(self.path)
        except FileError as error:
            raise FileError(
                f"{error} Every evaluation on the test set is logged there, so it must be possible before training."
                " Give a data folder that you may write to with --data-dir; links to the data sets are enough."
            ) from None

    def entry(self, identity: str) -> dict[str, Any] | None:
        """The logged evaluation with this identity, if there is one."""
        for line in self._content().splitlines():
            if identity.encode() in line:
                try:
                    found: dict[str, Any] = json.loads(line)
                except ValueError:
                    continue
                return found
        return None

    def write(self, name: str, identity: str, facts: Mapping[str, Any], digest: str) -> dict[str, Any]:
        """Log an evaluation unless that has been done; returns when that was and its number on this test set.

        OSError or FileError if it cannot be logged.
        """
        known = self.entry(identity)
        if known is not None and known.get("hash") == digest:
            return {key: known[key] for key in ("hash", "opened", "opening")}
        make_folder(self.data_dir)
        when = {
            "hash": digest,
            "opened": datetime.now(UTC).isoformat(timespec="seconds"),
            "opening": 1 + self._content().count(f'"hash": "{digest}"'.encode()),
        }
        with path_errors(self.path, "written"), self.path.open("a", encoding="utf-8") as file:
            # in one write: others may append, too
            file.write(json.dumps({"data": name, **facts, **when, "id": identity}) + "\n")
        return when

    def _content(self) -> bytes:
        return read_bytes(self.path) if self.path.exists() else b""


def identity_of(weights: Iterable[Mapping[str, Tensor]], how: object, marker: Path | None) -> str:
    """The identity of an evaluation of these weights: that of the interrupted one, if there is such, else a new one.

    ``how`` is what else decides the numbers; ``marker`` is the file that keeps the identity until the end.
    """
    digest = hashlib.sha256(repr(how).encode())
    for tensors in weights:
        for name in sorted(tensors):
            digest.update(name.encode())
            digest.update(tensors[name].detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    models = digest.hexdigest()[:16]
    if marker is None:
        return secrets.token_hex(8)
    try:
        kept = json.loads(read_bytes(marker)) if marker.exists() else {}
        if kept.get("models") == models:
            return str(kept["id"])
    except (ValueError, AttributeError, KeyError):
        pass  # damaged: it counts as another evaluation
    fresh = {"id": secrets.token_hex(8), "models": models}
    write_atomically(marker, json.dumps(fresh) + "\n")
    return fresh["id"]


def opened_test(
    config: Data,
    log: TestSetLog,
    identity: str,
    device: torch.device,
    measure: Callable[[ImageSet], dict[str, Any]],
) -> dict[str, Any]:
    """What ``measure`` says about the test set, with the number of this evaluation on it.

    It is measured once and logged before anybody sees a number. Without numbers but with a note where that is
    impossible.
    """
    try:
        test = with_groups(open_test(config, log.data_dir), config, log.data_dir).to(device)
        facts = measure(test)
        return {**facts, **log.write(config.name, identity, facts, test.hash)}
    except RegstudyError as error:
        return {"images": 0, "note": str(error)}
    except Exception as error:  # the data set may be the user's own code
        return {"images": 0, "note": f"The evaluation on the test set failed: {describe(error)}."}


def with_groups(test: ImageSet, config: Data, data_dir: Path) -> ImageSet:
    """The test images with their groups, by which intervals are wider; without, and said, if the rule does not fit."""
    if config.group is None:
        return test
    try:
        return replace(test, groups=torch.from_numpy(group_keys(test, config.group, config.name, data_dir)))
    except DataError as error:
        tell(Notice(f"The intervals on the test set treat its images as independent: {error}", warning=True))
        return test
