"""What is seen of made-up images, for tests of the rules."""

from __future__ import annotations

from typing import Any

from regstudy.first_space.seen import PictureSample, Seen


def seen(
    classes: dict[str, int] | None = None,
    sides: tuple[tuple[int, int], ...] = ((64, 64),),
    validation: int = 0,
    **given: Any,
) -> Seen:
    """A folder with these classes; other fields of the sample and of what was seen by their names."""
    counts = classes or {"cat": 100, "dog": 100}
    sample = {"decoded": 100, "gray": 0} | {
        key: given.pop(key) for key in [*given] if key in ("gray", "decoded", "copies", "unreadable")
    }
    parts = {"train": sum(counts.values())} | ({"validation": validation} if validation else {})
    source = {"name": "image_folder", "root": "photos"}
    return Seen(
        **{
            "source": source,
            "place": "photos",
            "parts": parts,
            "per_class": counts,
            "sample": PictureSample(sides, **sample),
            **given,
        }
    )
