"""Images that every node of a cluster reads from its own disk, checked to be the same everywhere."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from pathlib import Path

from regstudy import data
from regstudy.config.schema import Data
from regstudy.data.image_set import Splits
from regstudy.data.pool import load_pool
from regstudy.data.split_source import SplitSource
from regstudy.errors import StudyError


@dataclass
class OnNodes:
    """A `SplitSource` that every node reads from its own folder, and that must be the same everywhere."""

    config: Data  # with the seed of the split whose hash is known
    data_dir: Path
    file_rule: int
    hash: str
    whole: bool  # all images, to be split anew, or one split
    _source: SplitSource | None = field(default=None, init=False, repr=False, compare=False)

    def at(self, split_seed: int) -> Splits:
        """The splits of a seed; StudyError if the images here are others."""
        return self._read().at(split_seed)

    def share(self) -> OnNodes:
        """Nothing is sent."""
        return self

    def _read(self) -> SplitSource:
        if self._source is None:
            given = self.config, self.data_dir, lambda _event: None, self.file_rule
            source: SplitSource = load_pool(*given) if self.whole else data.prepare(*given)
            found = source.at(self.config.split_seed).hash
            if found != self.hash:
                raise StudyError(
                    f"The images in {self.data_dir} on the node {socket.gethostname()} (split {found}) are not those of"
                    f" the study (split {self.hash}). Copy the data set there, or leave out --data-on-nodes."
                )
            self._source = source
        return self._source
