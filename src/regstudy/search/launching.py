"""The workers that a study is to have where a launcher other than this machine's processes is asked for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from regstudy.search.events import Listener, Notice
from regstudy.search.search_options import LIMITS, SearchOptions
from regstudy.study.storage import sqlite_path
from regstudy.text import counted

NODE_DIED = "Raylet is terminated|has been marked dead|A worker died"  # messages with lines of a log, which Ray prints


@contextmanager
def launched(
    options: SearchOptions, url: str, most: int | None, listen: Listener, load_code: Callable[[], object] = lambda: None
) -> Iterator[SearchOptions]:
    """The options with the number of workers, connected to the cluster that they ask for, which is announced.

    ``url`` is where the study is stored, and ``most`` the most workers of use. ``load_code`` imports the user's own
    code, which then travels to the nodes. Raises ArgumentError before anything is written.
    """
    asked = options.launcher
    if asked is None:
        yield options
        return
    load_code()
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", NODE_DIED)  # Ray reads it when it is imported
    from regstudy.search.ray_cluster import connected, room_now, unused_gpus, where_words  # Ray is an extra

    with connected(asked, one_machine=sqlite_path(url) is not None) as cluster:
        workers, room = options.workers, room_now(asked)
        why = f", {room} of which fit now" if room < workers else ""
        if options.measure_workers:
            limit = min(most or LIMITS["workers"], LIMITS["workers"])
            workers = min(room, limit)
            why = ", as many as fit now" if room <= limit else ", one for each trial"
        listen(Notice(f"{where_words(asked, cluster)}: {counted(workers, 'worker')}{why}.{unused_gpus(asked)}"))
        yield replace(options, workers=workers, measure_workers=False)
