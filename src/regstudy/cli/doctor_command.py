"""Implements `regstudy doctor`: examines a space, configuration or study, and reports what to fix, in order."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from pathlib import Path

import optuna
import torch
from rich.console import Console

from regstudy.cli.listener import ConsoleListener
from regstudy.config.user_code import user_code
from regstudy.data.loading_events import listening
from regstudy.doctor.examine import Depth
from regstudy.doctor.findings import Diagnosis
from regstudy.doctor.fix import fix
from regstudy.doctor.from_config import examine_space
from regstudy.doctor.render.diagnosis_phrasing import lines
from regstudy.doctor.subject import Subject, find_subject
from regstudy.errors import LESS_MEMORY, OUT_OF_MEMORY, ConfigError, NotEnoughMemory, StudyError
from regstudy.files import write_atomically
from regstudy.files.outputs import KEY, check_output, mark
from regstudy.search.arguments import use_device
from regstudy.search.events import Examining
from regstudy.search.study_images import Images
from regstudy.text import counted, listing

STDOUT = Path("-")


@dataclass(frozen=True)
class Request:
    """The command line options; ``json`` may be `-` for standard output."""

    subject: str
    sets: tuple[str, ...]
    data_dir: Path
    storage: str | None
    name: str | None
    preflight: bool
    full: bool
    json: Path | None
    output: Path | None
    fix: bool
    device: str | None
    threads: int | None
    overwrite: bool = False


def execute(request: Request, stdout: Console, stderr: Console) -> int:
    """Examine and print the findings; returns the exit code: 1 if a finding blocks the study, else 0.

    Findings go to standard error if standard output carries the fixed file or JSON. Raises RegstudyError for user
    errors.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    depth = _depth(request)
    _check(request)
    console = stderr if request.fix or request.json == STDOUT else stdout
    with ConsoleListener(console) as listener:
        device = torch.device(use_device(request.device, request.threads))
        subject = find_subject(request.subject, request.storage, request.name, request.sets, request.data_dir, listener)
        diagnosis = _examined(request, subject, depth, device, listener)
    for warning in (warnings := _warnings(subject.images)):
        console.print(warning)
    for line in lines(diagnosis, console.width):
        console.print(line)
    if request.json == STDOUT:
        stdout.file.write(_as_json(diagnosis) + "\n")
    elif request.json is not None:
        write_atomically(request.json, _as_json(diagnosis) + "\n")
        console.print(f"Findings: {request.json}")
    if request.output is not None:
        from regstudy.doctor.render.diagnosis_page import diagnosis_page  # importing plotly takes a second

        write_atomically(request.output, diagnosis_page(diagnosis, warnings))
        console.print(f"Page: {request.output}")
    if request.fix:
        _write_fixed(request, subject, diagnosis, stdout, stderr)
    elif any(finding.changes for finding in diagnosis.findings):
        command = shlex.join(["regstudy", "doctor", request.subject, "--fix"])
        console.print(f"To write a file with these fixes: {command} > fixed.yaml")
    if lacking := [one.check for one in diagnosis.unjudged if OUT_OF_MEMORY in one.why]:
        checks = "checks" if len(lacking) > 1 else "check"
        raise NotEnoughMemory(f"{OUT_OF_MEMORY} in the {checks} {listing(lacking)}, so this is not all. {LESS_MEMORY}")
    return 1 if diagnosis.blocks else 0


def _examined(
    request: Request, subject: Subject, depth: Depth, device: torch.device, listener: ConsoleListener
) -> Diagnosis:
    space, splits = subject.space, subject.images.splits
    listener.console.print(
        f"Examining {space.name}: {splits.name}, {counted(len(splits.train), 'training image')} and"
        f" {counted(len(splits.validation), 'validation image')}. The model does not see the test part."
    )
    with user_code(f"The examination of {space.name}", StudyError), listening(listener):
        return examine_space(
            space,
            splits,
            data_dir=request.data_dir,
            device=device,
            depth=depth,
            on_progress=lambda check: listener(Examining(space.name, check)),
        )


def _write_fixed(request: Request, subject: Subject, diagnosis: Diagnosis, stdout: Console, stderr: Console) -> None:
    """Write the fixed file to standard output, and a summary to standard error."""
    substituted = subject.images.why_fallback is not None and not subject.stored
    fixed = fix(subject.text, diagnosis.findings, request.sets, fallback=substituted)
    stdout.file.write(fixed.text)
    stderr.print(f"Fixed: {', '.join(fixed.made)}." if fixed.made else "Nothing to fix in the configuration.")
    for sentence in fixed.refused:
        stderr.print(f"Not fixed: {sentence}")
    by_hand = [f.id for f in diagnosis.findings if f.severity != "note" and f.id not in fixed.made]
    if by_hand:
        stderr.print(f"Fix by hand: {', '.join(by_hand)}.")


def _warnings(images: Images) -> list[str]:
    """What readers must know before the findings."""
    if images.why_fallback is None:
        return []
    asked, used = images.requested, images.splits.name
    return [f"These findings are for {used}, which was examined instead of {asked}. {images.why_fallback}"]


def _as_json(diagnosis: Diagnosis) -> str:
    return json.dumps({KEY: mark("doctor"), **diagnosis.plain()}, indent=2)


def _depth(request: Request) -> Depth:
    if request.preflight and request.full:
        raise ConfigError("--preflight and --full are mutually exclusive: choose the short or the long examination.")
    return "preflight" if request.preflight else "full" if request.full else "default"


def _check(request: Request) -> None:
    """Reject outputs that cannot be written before any image is loaded."""
    if request.fix and request.json == STDOUT:
        raise ConfigError("--fix and --json - would both write to standard output: give --json a file name.")
    if request.output is not None and request.output.suffix.lower() != ".html":
        raise ConfigError(f"The output '{request.output}' must end in .html: the page is written as HTML.")
    if request.output is not None and request.output == request.json:
        raise ConfigError(f"--json and --output both name {request.output}: give them different files.")
    for path in (request.output, request.json):
        if path is not None and path != STDOUT:
            check_output(path, "doctor", request.overwrite)
