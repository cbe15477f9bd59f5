"""Finds what keeps regularizers from helping before they are searched: data, split, inputs, network, training."""

from regstudy.doctor.examine import examine
from regstudy.doctor.findings import Diagnosis, Finding

__all__ = ["Diagnosis", "Finding", "examine"]
