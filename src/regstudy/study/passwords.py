"""No password of a database is ever shown or stored: URLs are masked by their structure.

A password may hold every character that means something in a URL, typed as it is, so the end of a password is the last
@ of the URL. In a longer text nobody knows where a URL ends: there too much is masked rather than too little.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise
from urllib.parse import unquote, unquote_plus

MASK = "***"
SHORTEST_SECRET = 3  # characters; a shorter password is masked in its URL, not wherever its letters occur
_SCHEME = re.compile(r"(?<![^\s'\"`=(\[{<,;])[A-Za-z][\w+.-]*://")  # at the beginning of a word: not in a password
_USER_INFO = re.compile(r"([^:@/\\\s'\"]*):(?!\*{3}@)(.*)@", re.DOTALL)  # right behind ://, up to the last @
_KEY = r"(\b\w*(?:password|passwd|passphrase|pwd|secret|token)=)(?!\*{3}(?:[&\s'\"]|$))"
_IN_QUERY = re.compile(_KEY + r"([^&]*)", re.IGNORECASE | re.DOTALL)
_IN_TEXT = re.compile(_KEY + r"([^&\s'\"]*)", re.IGNORECASE)


def masked(text: str, urls: Iterable[str] = ()) -> str:
    """A text of any kind without passwords: those of all URLs in it, and those of known ``urls`` wherever they occur.

    Masking twice changes nothing.
    """
    for url in urls:
        text = text.replace(url, masked_url(url))
        for secret in sorted(secrets_of(url), key=len, reverse=True):
            text = text.replace(secret, MASK)
    starts = [found.start() for found in _SCHEME.finditer(text)]
    pieces = [text[a:b] for a, b in pairwise([*starts, len(text)])]
    lines = [piece.partition("\n") for piece in pieces]  # a URL ends with its line
    before = text[: starts[0]] if starts else text
    return _masked_keys(before) + "".join(masked_url(url) + end + _masked_keys(rest) for url, end, rest in lines)


def masked_url(url: str) -> str:
    """A URL without its password; the whole text counts as one URL, perhaps behind an option: --storage=URL."""
    scheme = _SCHEME.search(url)
    if scheme is None:
        return url
    info = _info(url)
    rest = f"{info[1]}:{MASK}@{url[info.end() :]}" if info else url[scheme.end() :]
    return url[: scheme.end()] + _IN_QUERY.sub(rf"\1{MASK}", rest)


def masked_words(words: Iterable[str]) -> list[str]:
    """The words of a command line without passwords."""
    return [masked_url(word) for word in words]


def secrets_of(url: str) -> set[str]:
    """The passwords in a URL, as typed and decoded, that are long enough to be recognized in a text."""
    info, typed = _info(url), [value for _, value in _IN_QUERY.findall(url)]
    forms = {
        f for secret in typed + ([info[2]] if info else []) for f in (secret, unquote(secret), unquote_plus(secret))
    }
    return {secret for secret in forms if len(secret) >= SHORTEST_SECRET}


def _info(url: str) -> re.Match[str] | None:
    """User and password of a URL, if it has both."""
    scheme = _SCHEME.search(url)
    return _USER_INFO.match(url, scheme.end()) if scheme else None


def _masked_keys(text: str) -> str:
    return _IN_TEXT.sub(rf"\1{MASK}", text)
