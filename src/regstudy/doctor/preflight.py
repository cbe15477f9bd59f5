"""The examination before a study starts: its findings in a few lines, and whether the study may start."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from regstudy.config.user_code import failure
from regstudy.data.image_set import Splits
from regstudy.data.loading_events import listening
from regstudy.doctor.findings import Diagnosis
from regstudy.doctor.render.diagnosis_phrasing import short_lines
from regstudy.errors import RegstudyError, StudyError
from regstudy.report.stored_diagnosis import as_stored, diagnosed, holds_for
from regstudy.search.events import Examining, Heard, Listener, Notice
from regstudy.space.search_space import Space
from regstudy.text import counted


@dataclass(frozen=True)
class Preflight:
    """Examines what a study is about to search. ``command`` shows the full examination."""

    data_dir: Path
    device: str
    listen: Listener
    command: str
    force: bool = False

    def __call__(self, space: Space, splits: Splits, known: dict[str, Any]) -> dict[str, Any]:
        """What the study should store of the examination; ``known`` is what it stored of an earlier one.

        Raises StudyError if a finding blocks the study, unless forced. A failed examination does not stop a study.
        """
        if holds_for(known, splits.hash, space.fingerprint):
            self.listen(
                Notice(f"{diagnosed(known).words} Images and space are unchanged, so they were not examined again.")
            )
            return known
        heard = Heard(self.listen)
        try:
            with listening(heard):
                diagnosis = self._examine(space, splits, heard)
        except (RegstudyError, KeyboardInterrupt):
            raise
        except BaseException as error:  # the user's model or data may raise anything
            if heard.error is not None:
                raise
            why = f"the examination failed: {failure(error)}"
            self.listen(Notice(f"Doctor: {why}. The study starts without it.", warning=True))
            return {"skipped": why}
        serious = any(finding.severity != "note" for finding in diagnosis.findings)
        self.listen(Notice("\n".join(short_lines(diagnosis, self.command)), warning=serious))
        blocks = diagnosis.blocks
        if blocks and not self.force:
            raise StudyError(self._refusal(diagnosis))
        return as_stored(diagnosis.plain(), splits.hash, space.fingerprint, forced=bool(blocks))

    def _examine(self, space: Space, splits: Splits, heard: Heard) -> Diagnosis:
        from regstudy.doctor.from_config import (
            examine_space,
        )  # importing scikit-learn takes a second, too slow for --help

        return examine_space(
            space,
            splits,
            data_dir=self.data_dir,
            device=torch.device(self.device),
            depth="preflight",
            on_progress=lambda check: heard(Examining(space.name, check)),
        )

    def _refusal(self, diagnosis: Diagnosis) -> str:
        found = " ".join(finding.sentence for finding in diagnosis.blocks)
        return (
            f"The study was not started due to {counted(len(diagnosis.blocks), 'blocking finding')}: {found} Nothing"
            f" was written. Fix the problem ({self.command} --fix > fixed.yaml, then start the study with"
            " --space fixed.yaml), or start it anyway with --force."
        )


def skipped(_space: object, _splits: Splits, known: dict[str, Any]) -> dict[str, Any]:
    """Replaces the examination with --no-doctor."""
    return known or {"skipped": "started with --no-doctor"}
