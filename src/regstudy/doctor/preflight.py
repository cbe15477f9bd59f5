"""The examination before a study begins: what it found in a few lines, and whether the study may go on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from regstudy.data.image_set import Splits
from regstudy.data.loading_events import listening
from regstudy.doctor.findings import Diagnosis
from regstudy.doctor.render.diagnosis_phrasing import short_lines
from regstudy.errors import RegstudyError, StudyError, describe
from regstudy.report.stored_diagnosis import diagnosed, holds_for, kept
from regstudy.search.events import Examining, Heard, Listener, Notice
from regstudy.space.search_space import Space
from regstudy.text import counted


@dataclass(frozen=True)
class Preflight:
    """Examines what a study is about to search. ``command`` shows the whole examination."""

    data_dir: Path
    device: str
    listen: Listener
    command: str
    force: bool = False

    def __call__(self, space: Space, splits: Splits, known: dict[str, Any]) -> dict[str, Any]:
        """What the study should keep of the examination; ``known`` is what it keeps of an earlier one.

        Raises StudyError where a finding makes the study meaningless, unless forced. An examination that breaks down
        stops no study.
        """
        if holds_for(known, splits.hash, space.fingerprint):
            self.listen(Notice(f"{diagnosed(known).words} It was not examined again."))
            return known
        heard = Heard(self.listen)
        try:
            with listening(heard):
                diagnosis = self._examine(space, splits, heard)
        except RegstudyError:
            raise
        except Exception as error:  # a network or data of the user's own may raise anything
            if heard.error is not None:
                raise
            why = f"the examination broke down: {describe(error)}"
            self.listen(Notice(f"Doctor: {why}. The study goes on without it.", warning=True))
            return {"skipped": why}
        serious = any(finding.severity != "note" for finding in diagnosis.findings)
        self.listen(Notice("\n".join(short_lines(diagnosis, self.command)), warning=serious))
        blocks = diagnosis.blocks
        if blocks and not self.force:
            raise StudyError(self._refusal(diagnosis))
        return kept(diagnosis.plain(), splits.hash, space.fingerprint, forced=bool(blocks))

    def _examine(self, space: Space, splits: Splits, heard: Heard) -> Diagnosis:
        from regstudy.doctor.from_config import examine_space  # scikit-learn takes a second, not to be spent by --help

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
            f"{counted(len(diagnosis.blocks), 'finding')} would make this study meaningless: {found} Nothing was"
            f" written and no trial was started. Either fix it ({self.command} --fix > fixed.yaml, then the study with"
            " --space fixed.yaml), or start it all the same with --force."
        )


def skipped(_space: object, _splits: Splits, known: dict[str, Any]) -> dict[str, Any]:
    """In place of an examination that the user does not want."""
    return known or {"skipped": "started with --no-doctor"}
