"""Checks of a configuration beyond its types: names, options, values. Loads and builds nothing."""

from __future__ import annotations

from regstudy import data, models
from regstudy.space.parsing import ConfigCheck
from regstudy.training import schedules

CHECKS: tuple[ConfigCheck, ...] = (data.problems, models.problems, schedules.problems)
