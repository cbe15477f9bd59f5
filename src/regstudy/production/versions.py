"""What a result depends on besides its configuration: versions of software, the machine, and threads."""

from __future__ import annotations

import platform
from pathlib import Path

import torch

from regstudy.config.package_versions import package_version

PACKAGES = ("regstudy", "torch", "torchvision", "numpy")


def versions(device: torch.device) -> dict[str, str]:
    """Names with versions, the processor or GPU, and the number of threads."""
    found = {name: package_version(name) for name in PACKAGES}
    return {
        "python": platform.python_version(),
        **found,
        "system": f"{platform.system()} {platform.machine()}",
        "device": device.type,
        "hardware": _hardware(device),
        "threads": str(torch.get_num_threads()),
    }


def _hardware(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
        return next(line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown"
