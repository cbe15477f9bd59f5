"""Does regstudy work on a GPU, and how fast is it? Needs only this checkout and a machine with torch; see docs/gpu.md.

    python benchmarks/gpu.py --part check [--out results/gpu]     # at most 3 minutes on an H100
    python benchmarks/gpu.py --part study [--out results/gpu]     # at most 6 minutes
    python benchmarks/gpu.py --part check --device cpu --tiny     # what the tests run

`check`: a CPU and the GPU agree on the losses of 20 steps; bf16 next to fp32; resuming gives the same bits; no step
waits for the GPU; a batch too large for its memory is a clear error; images per second of every shipped network next to
a plain DataLoader loop and the chip's bf16 peak; several processes on one GPU.
`study`: as many of the 50 trials of `svhn_resnet` on generated images as fit, then the time for all of them.

Every check stands alone: what fails is a row of the table, and the files in --out are written after each check. After
--seconds the script ends in any case. The exit code is 1 if a check failed and 3 if the time ran out within one.
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import sys
import threading
import warnings
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # for deterministic matrix products, before CUDA starts

import gpu_agreement
import gpu_limits
import gpu_sharing
import gpu_speed
import gpu_study
import torch
from gpu_report import Report

LIMITS = {"check": 170.0, "study": 340.0}  # seconds
GRACE = 15.0  # after which the script ends itself if a check hangs
KEPT_FOR_SHARING = 25.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a part and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=LIMITS, required=True)
    parser.add_argument("--device", default="cuda", help="cuda (default) or cpu")
    parser.add_argument("--tiny", action="store_true", help="a few images and trials, to try the script")
    parser.add_argument("--seconds", type=float, help="for the whole part; default: 170 and 340")
    parser.add_argument("--out", type=Path, default=Path("results/gpu"), help="folder for the tables")
    parser.add_argument("--work", type=Path, help="folder for the study and its images; default: within --out")
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 4], help="of the studies, one after the other")
    parser.add_argument("--only", nargs="*", help="checks to make, by a part of their titles")
    given = parser.parse_args(arguments)
    if given.device.startswith("cuda") and not torch.cuda.is_available():
        parser.error("torch finds no GPU here. To try the script without one: --device cpu --tiny")
    device = torch.device(given.device)
    seconds = given.seconds or LIMITS[given.part]
    if given.tiny:
        torch.set_num_threads(1)
    report = Report(given.out, given.part, device, seconds)
    watchdog = threading.Timer(seconds + GRACE, too_late, [report])
    watchdog.daemon = True
    watchdog.start()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if given.part == "check":
                run_checks(report, given.tiny, given.only)
            else:
                gpu_study.run_part(
                    report, given.work or given.out / "work", [1] if given.tiny else given.workers, given.tiny
                )
    finally:
        watchdog.cancel()
        report.keep()
    return report.end()


def run_checks(report: Report, tiny: bool, only: Sequence[str] | None) -> None:
    """The checks of `check`, the shortest first."""
    device = report.device
    checks = {
        "losses of 20 steps, CPU and GPU": lambda found: gpu_agreement.agree(found, device, tiny),
        "bf16 next to fp32": lambda found: gpu_agreement.bf16(found, device, tiny),
        "resume to the bit": lambda found: gpu_agreement.resume(found, device, tiny),
        "no waiting within an epoch": lambda found: gpu_limits.no_waiting(found, device),
        "out of memory": lambda found: gpu_limits.out_of_memory(found, device),
        "images per second": lambda found: gpu_speed.speed(found, report, tiny, KEPT_FOR_SHARING),
        "processes on one GPU": lambda found: gpu_sharing.sharing(found, report, tiny),
    }
    for title, action in checks.items():
        if not only or any(part in title for part in only):
            report.check(title, action, needs=0.0 if tiny else 10.0)


def too_late(report: Report) -> None:
    """The time is over and a check hangs: keep what there is, say where it hangs, and end."""
    faulthandler.dump_traceback(sys.stderr)
    report.late()
    sys.stdout.flush()
    os._exit(3)


if __name__ == "__main__":
    sys.exit(main())
