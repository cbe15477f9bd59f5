"""What cannot be used: the exception for it, and the sentences about tasks that are no classification."""

from __future__ import annotations

MULTI_LABEL = "Several labels per image (multi-label) are not supported: every image needs exactly one class."
REGRESSION = "Numbers to be predicted (regression) are not supported: a label must be a class."


class Unusable(Exception):
    """A sentence or two: which requirement failed, what was given, and how to convert it."""
