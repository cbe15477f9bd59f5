"""A regular expression on many texts, in bounded time.

Some patterns take exponential time, and Python's `re` cannot be interrupted while it holds the interpreter. So the
search runs in a process of its own, which is killed when its time is up. That takes a few hundredths of a second, and
keeps the exact meaning of the patterns, which other engines with a time limit do not.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence

MAX_SECONDS = 20.0
SECONDS_PER_TEXT = 1e-3  # in addition, hundreds of times what a good pattern needs
SEARCH = """\
import json, re, sys, warnings
warnings.simplefilter("ignore")
pattern, texts = json.load(sys.stdin)
compiled = re.compile(pattern)
group = min(1, compiled.groups)
json.dump([found and found[group] for found in map(compiled.search, texts)], sys.stdout)
"""


def first_groups(pattern: str, texts: Sequence[str], max_seconds: float = MAX_SECONDS) -> list[str | None]:
    """For each text the first (…) of a valid pattern's first match, or all of it; None where nothing matches.

    Raises TimeoutError if that takes longer than ``max_seconds`` and a little more per text, and ValueError if the
    search fails, for example because memory is exhausted.
    """
    seconds = max_seconds + SECONDS_PER_TEXT * len(texts)
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", SEARCH],
            input=json.dumps([pattern, list(texts)]),
            capture_output=True,
            timeout=seconds,
            check=True,
            encoding="ascii",  # JSON escapes the rest, undecodable bytes of file names included
            errors="replace",
        )
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"{len(texts):,} texts took more than {seconds:.0f} s") from None
    except subprocess.CalledProcessError as error:
        raise ValueError(error.stderr.strip().rpartition("\n")[2] or f"exit code {error.returncode}") from None
    found: list[str | None] = json.loads(done.stdout)
    return found
