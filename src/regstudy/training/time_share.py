"""How often something may be done that takes time from the training."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class TimeShare:
    """Spends at most a share of the time on something that is done again and again: the longer it takes, the rarer.

    A share of 0.005 lets something that took 5 ms be done again after a second. The first time is always due.
    ``clock`` gives seconds.
    """

    def __init__(self, share: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._share, self._clock = share, clock
        self._next = -math.inf

    @property
    def due(self) -> bool:
        """Whether it may be done now."""
        return self._clock() >= self._next

    @contextmanager
    def measured(self) -> Iterator[None]:
        """The block that does it; how long it takes decides when it is due again."""
        began = self._clock()
        yield
        ended = self._clock()
        self._next = ended + (ended - began) / self._share
