"""The errors a user can meet. Each is one paragraph: what is wrong, where, and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches

LONGEST_NAME = 100  # characters of an unknown name in a message
OUT_OF_MEMORY = "out of memory"  # how every message about a lack of memory begins
LESS_MEMORY = (
    "Close other programs that use the memory, use fewer or smaller images (data.train_limit, data.size), a smaller"
    " training.batch_size, or another device (--device cpu)."
)
LACKS_MEMORY = (  # in the messages of torch and its libraries, which have no class of their own for it
    "can't allocate memory",
    "not enough memory: you tried to allocate",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "MPS backend out of memory",
)


class RegstudyError(Exception):
    """Base of all errors that the user can fix; the command line prints the message and exits with code 2."""


class ConfigError(RegstudyError):
    """An invalid space or configuration; the message lists every problem, not only the first."""


class ArgumentError(RegstudyError, ValueError):
    """An invalid argument of a function or class: its name, what is allowed, and what it is."""


class DataError(RegstudyError):
    """Images that cannot be used: missing, damaged, or too few."""


class DataUnavailable(DataError):
    """The data set is not here and cannot be downloaded: the only case in which a fallback data set is used."""


class FileError(RegstudyError):
    """A file or folder that cannot be read or written, or that must not be replaced."""


class StorageError(RegstudyError):
    """A database that cannot be opened, written or reached."""


class ServerLost(StorageError):
    """A database server that cannot be reached or went away; it may come back."""


class StudyError(RegstudyError):
    """A study that cannot be created, resumed or read."""


class NotEnoughMemory(RegstudyError):
    """A training that needs more memory than its device has left."""


@dataclass(frozen=True)
class Problem:
    """One thing wrong in a configuration: the dotted path of the value and a sentence about it.

    ``cause`` is the error that showed it, if there is one.
    """

    path: str
    message: str
    cause: BaseException | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


def require(name: str, value: object, kinds: type | tuple[type, ...], allowed: str) -> None:
    """ArgumentError if an argument is not of one of these types; ``allowed`` describes what it may be."""
    if not isinstance(value, kinds):
        shown = repr(value)
        shown = shown if len(shown) <= 60 else f"of the type {type(value).__name__}"
        raise ArgumentError(f"{name} must be {allowed}, but it is {shown}.")


def argument_error(problems: Iterable[Problem]) -> ArgumentError:
    """All wrong arguments of a call as a single error."""
    lines = list(dict.fromkeys(str(problem) for problem in problems))
    if len(lines) == 1:
        return ArgumentError(lines[0])
    return ArgumentError(f"{len(lines)} invalid arguments:" + "".join(f"\n  - {line}" for line in lines))


def config_error(source: str, problems: Iterable[Problem]) -> ConfigError:
    """All problems of one file as a single error, in the order found, without repetitions."""
    found = list(problems)
    lines = list(dict.fromkeys(str(problem) for problem in found))
    count = "1 problem" if len(lines) == 1 else f"{len(lines)} problems"
    error = ConfigError(f"{source} has {count}:" + "".join(f"\n  - {line}" for line in lines))
    error.__cause__ = next((problem.cause for problem in found if problem.cause), None)
    return error


def unknown(kind: str, given: str, allowed: Iterable[str]) -> str:
    """Sentence about a name that does not exist, with the closest valid name and all allowed ones."""
    names = sorted(allowed)
    given = given if len(given) <= LONGEST_NAME else f"{given[:LONGEST_NAME]}…"
    return f"there is no {kind} '{given}'.{did_you_mean(given, names)} Allowed: {', '.join(names) or 'none'}."


def installing(extra: str) -> str:
    """How the packages of an extra are installed.

    >>> installing("ray")
    "pip install 'regstudy[ray]', or pip install -e '.[ray]' in a checkout"
    """
    return f"pip install 'regstudy[{extra}]', or pip install -e '.[{extra}]' in a checkout"


def did_you_mean(given: str, allowed: Iterable[str]) -> str:
    """Sentence with the closest valid name, preceded by a space, whatever its case; empty if none is close."""
    names = {name.lower(): name for name in allowed}
    close = get_close_matches(given.lower(), list(names), n=1, cutoff=0.5)
    return f" Did you mean '{names[close[0]]}'?" if close else ""


def describe(error: BaseException) -> str:
    """Why something failed, in one line without a final period; all kinds of out-of-memory errors read alike."""
    if isinstance(error, SystemExit):
        return f"the code called sys.exit({'' if error.code is None else repr(error.code)})"
    try:
        text = " ".join(str(error).split())[:500].rstrip(".")
    except Exception:  # a user's exception may fail even at this
        text = "its message cannot be shown"
    return f"{OUT_OF_MEMORY} ({text})" if lacks_memory(error) else f"{type(error).__name__}: {text}"


def lacks_memory(error: BaseException) -> bool:
    """Whether an error that is not ours says that memory was not enough, of whatever device and library."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    try:
        return isinstance(error, RuntimeError) and any(words in str(error) for words in LACKS_MEMORY)
    except Exception:  # a user's exception may fail even at this
        return False
