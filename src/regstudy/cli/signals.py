"""How a command ends that is told to: SIGTERM does what Ctrl-C does, and the exit code says which one it was."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED = 130  # 128 + SIGINT, the exit code that shells and schedulers know


@contextmanager
def ending_on_signals() -> Iterator[None]:
    """Within the block SIGTERM, which clusters send before they kill, counts as Ctrl-C; its exit code is 143."""
    terminated = False

    def terminate(_number: int, frame: FrameType | None) -> None:
        nonlocal terminated
        terminated = True
        handler = signal.getsignal(signal.SIGINT)
        if not callable(handler):  # a job in the background of a script ignores Ctrl-C
            raise KeyboardInterrupt
        handler(signal.SIGINT, frame)

    main = threading.current_thread() is threading.main_thread()
    ours = main and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    if ours:
        signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        raise SystemExit(128 + signal.SIGTERM if terminated else INTERRUPTED) from None
    except SystemExit as end:
        if end.code == INTERRUPTED and terminated:
            raise SystemExit(128 + signal.SIGTERM) from None
        raise
    finally:
        if ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
