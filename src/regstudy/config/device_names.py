"""The names of devices, which the command line checks before it loads torch."""

from __future__ import annotations

from regstudy.errors import unknown

DEVICES = ("cuda", "mps", "cpu")  # the fastest first


def device_problem(name: str) -> str | None:
    """What is wrong with the name of a device such as cuda or cuda:1; None if there can be such a device."""
    if name.partition(":")[0] in DEVICES:
        return None
    if name.lower().startswith("gpu"):
        allowed = ", ".join(sorted(DEVICES))
        return f"device (--device): there is no device '{name}'. Did you mean 'cuda', or 'mps'? Allowed: {allowed}."
    return f"device (--device): {unknown('device', name, DEVICES)}"
