"""Passwords in URLs, texts and command lines, and in everything that the commands print, store and raise."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote

import pytest
from conftest import Command
from sqlalchemy.engine import make_url

import regstudy
from regstudy.errors import StorageError
from regstudy.search.call_text import call_text
from regstudy.study.database import server_url
from regstudy.study.passwords import masked, masked_url, masked_words, secrets_of
from regstudy.study.place import StudyPlace
from regstudy.study.storage import storage_error

pytestmark = pytest.mark.table

NASTY = [
    "secret1", "se cret1", "'secret1'", '"secret1"', "sec@ret1", "sec:ret1", "sec/ret1", "sec#ret1", "sec%ret1",
    "sec?ret1", "sec&ret1", "sec=ret1", "sec%40ret1", "sec{ret1}", "sec[ret1", "sécret1", "sec\\ret1", "@:/#?% secret1",
    "//secret1", "postgresql://secret1", "***secret1", "sec\tret1", "sec;ret1", "$(secret1)", "`secret1`",
    "secret1" * 20,
]  # fmt: skip
SCHEMES = ["postgresql", "postgres", "postgresql+psycopg", "mysql"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("no URL at all: a@b:c", "no URL at all: a@b:c"),
        ("sqlite:////tmp/a:b@c/study.db", "sqlite:////tmp/a:b@c/study.db"),
        ("postgresql://host/db", "postgresql://host/db"),
        ("postgresql://me@host:5432/db", "postgresql://me@host:5432/db"),
        ("postgresql://me:secret@host:5432/db", "postgresql://me:***@host:5432/db"),
        ("postgresql://me:sec%2Fret%40@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me:sec@ret@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me:sec:ret@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me:sec/ret@host/db", "postgresql://me:***@host/db"),
        ("postgresql://:secret@host", "postgresql://:***@host"),
        ("postgresql://host/db?user=me&password=secret&x=1", "postgresql://host/db?user=me&password=***&x=1"),
        ("--storage=postgresql://me:secret@host/db --trials 3", "--storage=postgresql://me:***@host/db --trials 3"),
        ("postgresql://a:b@c/d then postgresql://e:f@g/h", "postgresql://a:***@c/d then postgresql://e:***@g/h"),
        ("see https://sqlalche.me/e/20/e3q8", "see https://sqlalche.me/e/20/e3q8"),
    ],
)
def test_passwords_in_urls_are_masked(text: str, shown: str) -> None:
    assert masked(text) == shown


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("password", NASTY)
def test_a_url_is_masked_by_its_structure(password: str, scheme: str) -> None:
    for shown in (password, quote(password, safe="")):
        url = f"{scheme}://me:{shown}@host:5432/db?sslmode=require"
        assert masked_url(url) == f"{scheme}://me:***@host:5432/db?sslmode=require"
        assert masked_url(f"--storage={url}") == f"--storage={scheme}://me:***@host:5432/db?sslmode=require"
        assert masked_words(["x", "--storage", url, "--study", "a@b"]) == [
            "x",
            "--storage",
            masked_url(url),
            "--study",
            "a@b",
        ]
        assert masked(masked_url(url)) == masked_url(url)
        assert "ret1" not in masked(f"in {url}, they say")


@pytest.mark.parametrize("key", ["password", "PASSWORD", "passwd", "sslpassword", "pwd", "token"])
@pytest.mark.parametrize("password", [each for each in NASTY if "&" not in each])
def test_passwords_in_the_query_are_masked(password: str, key: str) -> None:
    url = f"postgresql://host/db?user=me&{key}={password}&x=1"
    assert masked_url(url) == f"postgresql://host/db?user=me&{key}=***&x=1"


@pytest.mark.parametrize("password", NASTY)
def test_a_known_password_is_masked_wherever_it_occurs(password: str) -> None:
    url = f"postgresql://me:{quote(password, safe='')}@host/db"
    assert password in secrets_of(url)
    text = masked(f"no host {password}@host, {quote(password, safe='')!r}", [url])
    assert "ret1" not in text and "host" in text
    error = storage_error(url, ValueError(f"could not translate host name {password}"))
    assert "ret1" not in str(error) and "me:***@host" in str(error)


@pytest.mark.parametrize(
    "url", ["postgresql://me@host/db", "postgresql://host/db", "sqlite:////tmp/a:b@c/study.db", "", "x"]
)
def test_without_a_password_nothing_changes(url: str) -> None:
    assert masked_url(url) == url and not secrets_of(url)


@pytest.mark.parametrize("password", [each for each in NASTY if "%" not in each])
def test_a_password_may_be_typed_as_it_is(password: str) -> None:
    parsed = make_url(server_url(f"postgresql://me:{password}@host:5432/db"))
    assert (parsed.username, parsed.password, parsed.host, parsed.port, parsed.database) == (
        "me",
        password,
        "host",
        5432,
        "db",
    )
    assert parsed.drivername == "postgresql+psycopg"


@pytest.mark.parametrize("url", ["", "postgresql:/x", "postgresql://me:secret1@host:port/db", "me:secret1@host", "//x"])
def test_what_is_no_url_is_told_in_words(url: str) -> None:
    with pytest.raises(StorageError, match="is not the URL of a database"):
        server_url(url)


def test_calls_places_and_options_do_not_show_it() -> None:
    for password in NASTY:
        url = f"postgresql://me:{password}@host/x"
        place = StudyPlace(Path("results/x"), url)
        given = {"space": "digits_cnn", "storage": url, "name": "a@b"}
        for shown in (repr(place), str(place), call_text(regstudy.run_study, given)):
            assert "ret1" not in shown
        assert "name='a@b'" in call_text(regstudy.run_study, given)


COMMANDS = [
    ["report", "results/x"],
    ["report", "results/x", "--watch"],
    ["dashboard", "results/x"],
    ["export", "results/x"],
    ["doctor", "results/x"],
    ["worker", "--study", "x"],
    ["study", "--space", "digits_cnn", "--trials", "1", "--no-doctor"],
    ["study", "--space", "digits_cnn", "--dry-run"],
    ["compare", "digits_cnn", "--repeats", "1"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("password", ["se cret1", "sec@ret1", "sec/ret1", "@:/#?% secret1", "sec{ret1}", "'secret1'"])
def test_no_command_shows_it_when_the_server_cannot_be_reached(
    regstudy: Command, command: list[str], password: str
) -> None:
    for url in (
        f"postgresql://me:{password}@127.0.0.1:9/db",
        f"postgresql://127.0.0.1:9/db?user=me&password={quote(password)}",
        f"postgresql://me:{password}@127.0.0.1:nine/db",
        f"nosuch://me:{password}@127.0.0.1/db",
    ):
        done = regstudy(*command, "--storage", url)
        assert done.returncode == 2
        assert done.stderr.startswith("error: ") and "***" in done.stderr, done.stderr
        assert "Traceback" not in done.stderr
        for text in (done.stdout, done.stderr):
            assert "ret1" not in text and "cret" not in text, text


def test_reports_of_old_studies_do_not_show_it(regstudy: Command, tmp_path: Path) -> None:
    """Version 0.1.0 stored what it could not mask."""
    from foreign_studies import regstudys

    folder = tmp_path / "results" / "x"
    folder.mkdir(parents=True)
    command = json.dumps("regstudy study --storage 'postgresql://u:se cret1@host/db' --trials 3")
    quoted = command.replace("'", "''")
    regstudys(
        folder,
        f"UPDATE study_user_attributes SET value_json = '{quoted}' WHERE key = 'regstudy:command'",
    )
    assert regstudy("report", "results/x").returncode == 0
    for path in folder.glob("*.*"):
        assert path.name.startswith("study.db") or "cret1" not in path.read_text(encoding="utf-8", errors="replace"), (
            path
        )
    assert "postgresql://u:***@" in (folder / "summary.md").read_text()
