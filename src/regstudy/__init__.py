"""Find out which regularizers really close the gap between training and validation of an image classifier."""

from importlib.metadata import version

__version__ = version("regstudy")
