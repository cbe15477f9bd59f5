"""Finds problems in data, split, inputs, model and training that would invalidate a search for regularizers."""

from regstudy.doctor.examine import examine
from regstudy.doctor.findings import Diagnosis, Finding

__all__ = ["Diagnosis", "Finding", "examine"]
