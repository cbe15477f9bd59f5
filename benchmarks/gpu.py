"""Does regstudy work on a GPU, and how fast is it? Needs this checkout and regstudy's packages; see docs/gpu.md.

    python benchmarks/gpu.py --part check [--out results/gpu]     # ends after 3 minutes in any case
    python benchmarks/gpu.py --part study [--out results/gpu]     # ends after 6 minutes in any case
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
from collections.abc import Callable, Sequence
from pathlib import Path

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # for deterministic matrix products, before CUDA starts

import gpu_agreement
import gpu_limits
import gpu_sharing
import gpu_speed
import gpu_study
import torch
from gpu_report import Found, Report

LIMITS = {"check": 170.0, "study": 340.0}  # seconds
GRACE = 15.0  # after which the script ends itself if a check hangs
KEPT_FOR_SHARING = 25.0

CHECKS: dict[str, Callable[[Found, Report, bool], None]] = {  # by title, the shortest first
    "losses of 20 steps, CPU and GPU": lambda found, report, tiny: gpu_agreement.agree(found, report.device, tiny),
    "bf16 next to fp32": lambda found, report, tiny: gpu_agreement.bf16(found, report.device, tiny),
    "resume to the bit": lambda found, report, tiny: gpu_agreement.resume(found, report.device, tiny),
    "no waiting within an epoch": lambda found, report, _: gpu_limits.no_waiting(found, report.device),
    "out of memory": lambda found, report, _: gpu_limits.out_of_memory(found, report.device),
    "images per second": lambda found, report, tiny: gpu_speed.speed(found, report, tiny, KEPT_FOR_SHARING),
    "processes on one GPU": gpu_sharing.sharing,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a part and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=LIMITS, required=True, help="what to run; there is no default")
    parser.add_argument(
        "--device",
        choices=("cuda", "cpu"),
        default="cuda",
        help="default: %(default)s; the second of several GPUs: CUDA_VISIBLE_DEVICES=1",
    )
    parser.add_argument("--tiny", action="store_true", help="a few images and trials, to try the script")
    parser.add_argument("--seconds", type=float, help="for the whole part (default: 170 for check, 340 for study)")
    parser.add_argument("--out", type=Path, default=Path("results/gpu"), help="for the tables (default: %(default)s)")
    parser.add_argument("--work", type=Path, help="for the study and its images (default: work within --out)")
    parser.add_argument(
        "--workers", type=int, nargs="+", default=[1, 4], help="of the studies, one after the other (default: 1 4)"
    )
    parser.add_argument("--only", nargs="+", help="checks to make, by a part of their titles (default: all)")
    given = parser.parse_args(arguments)
    if problem := problem_with(given):
        parser.error(problem)
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


def problem_with(given: argparse.Namespace) -> str | None:
    """What is wrong with the arguments, in a line."""
    only = given.only or []
    if given.device == "cuda" and not torch.cuda.is_available():
        return "torch finds no GPU here. To try the script without one: --device cpu --tiny"
    if only and given.part != "check":
        return "--only chooses among the checks of --part check"
    for word in only:
        if not any(word in title for title in CHECKS):
            return f"no check has {word!r} in its title; there are: {'; '.join(CHECKS)}"
    if given.seconds is not None and not given.seconds > 0:
        return f"--seconds must be above 0, but it is {given.seconds}"
    if min(given.workers) < 1:
        return f"--workers must be at least 1, but it is {min(given.workers)}"
    return None


def run_checks(report: Report, tiny: bool, only: Sequence[str] | None) -> None:
    """Make all checks, or those with one of these words in their titles."""
    for title, action in CHECKS.items():
        if not only or any(word in title for word in only):
            report.check(title, lambda found, make=action: make(found, report, tiny), needs=0.0 if tiny else 10.0)


def too_late(report: Report) -> None:
    """The time is over and a check hangs: keep what there is, say where it hangs, and end."""
    faulthandler.dump_traceback(sys.stderr)
    report.late()
    sys.stdout.flush()
    os._exit(3)


if __name__ == "__main__":
    sys.exit(main())
