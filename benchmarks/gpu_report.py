"""What the checks of benchmarks/gpu.py found: printed as it comes, and kept in files after every check."""

from __future__ import annotations

import json
import os
import platform
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

State = Literal["pass", "FAIL", "info", "skipped", "ERROR"]


class Skipped(Exception):
    """A check that cannot be made here; the text says why."""


@dataclass
class Found:
    """A check's result in a line, the lines below it, and its numbers."""

    title: str
    state: State = "info"
    line: str = ""
    lines: list[str] = field(default_factory=list)
    numbers: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    def say(self, text: str) -> None:
        """Print a line at once and keep it."""
        print(f"    {text}", flush=True)
        self.lines.append(text)

    def verdict(self, good: bool, line: str) -> None:
        """Pass or fail, with the reason in a line."""
        self.state, self.line = "pass" if good else "FAIL", line


class Report:
    """All results, in the files NAME.json and NAME.txt of a folder; no check can end the script."""

    def __init__(self, folder: Path, name: str, device: torch.device, seconds: float) -> None:
        self.folder, self.name, self.device = folder, name, device
        self.began, self.limit = time.perf_counter(), seconds
        self.found: list[Found] = []
        self.when_late: Callable[[], None] | None = None  # adds what a check that hangs has found so far
        folder.mkdir(parents=True, exist_ok=True)
        self.head = [f"regstudy, benchmarks/gpu.py, part {name}", *machine(device)]
        print("\n".join(self.head), flush=True)

    @property
    def left(self) -> float:
        """Seconds until the limit."""
        return self.limit - (time.perf_counter() - self.began)

    def check(self, title: str, action: Callable[[Found], None], needs: float = 0.0) -> None:
        """Make a check if so many seconds are left; whatever it raises becomes its result."""
        found = Found(title)
        self.found.append(found)
        print(f"\n[{self.limit - self.left:5.1f} s] {title}", flush=True)
        began = time.perf_counter()
        try:
            if self.left < needs:
                raise Skipped(f"only {self.left:.0f} s are left of {self.limit:.0f}, and it needs about {needs:.0f}")
            action(found)
        except Skipped as reason:
            found.state, found.line = "skipped", str(reason)
        except Exception as error:
            found.state, found.line = "ERROR", f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            found.numbers["traceback"] = traceback.format_exc()
            print(found.numbers["traceback"], flush=True)
        found.seconds = time.perf_counter() - began
        self.when_late = None
        print(f"  {found.state}: {found.line}", flush=True)
        self.keep()

    def keep(self) -> None:
        """Write both files anew."""
        facts = {"head": self.head, "checks": [asdict(one) for one in self.found]}
        (self.folder / f"{self.name}.json").write_text(json.dumps(facts, indent=1, default=str), encoding="utf-8")
        text = "\n".join([*self.head, *self.table(), "", *self.details()]) + "\n"
        (self.folder / f"{self.name}.txt").write_text(text, encoding="utf-8")

    def table(self) -> list[str]:
        """A row per check."""
        width = max((len(one.title) for one in self.found), default=0)
        return ["", *(f"{one.state:<8}{one.seconds:6.1f} s  {one.title:<{width}}  {one.line}" for one in self.found)]

    def details(self) -> list[str]:
        """The lines of every check."""
        return [line for one in self.found for line in (one.title, *(f"    {text}" for text in one.lines), "")]

    def late(self) -> None:
        """The time ran out within the last check: keep what it has found."""
        for found in self.found[-1:]:
            with suppress(Exception):
                if self.when_late:
                    self.when_late()
            found.state, found.line = "ERROR", f"{found.line or 'nothing'}; did not end in {self.limit:.0f} s"
        self.keep()
        self.end()

    def end(self) -> int:
        """Print the table; 1 if a check failed."""
        print("\n".join(["", "=" * 100, *self.table(), "", f"Kept in {self.folder / self.name}.txt and .json"]))
        return int(any(one.state in ("FAIL", "ERROR") for one in self.found))


def machine(device: torch.device) -> list[str]:
    """What the figures were measured on."""
    lines = [f"Python {platform.python_version()}, torch {torch.__version__}, {os.cpu_count()} CPU cores"]
    if device.type == "cuda":
        facts = torch.cuda.get_device_properties(device)
        lines.append(f"{facts.name}, {facts.total_memory / 2**30:.0f} GiB, CUDA {torch.version.cuda}")
        lines.append(f"cuDNN {torch.backends.cudnn.version()}")
    return lines


def synchronize(device: torch.device) -> None:
    """Wait until the device has done everything."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
