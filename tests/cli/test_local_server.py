"""The dashboard's server: only requests that name this machine are answered."""

from __future__ import annotations

from typing import Any

import optuna
import pytest
from optuna_dashboard import wsgi

from regstudy.cli.local_server import local_only

LOCAL = ["localhost", "localhost:8080", "127.0.0.1:8080", "127.0.0.1", "[::1]:8080", "LOCALHOST:1"]
FOREIGN = [
    "", "evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example:8080", "0.0.0.0:8080",
    "evil@example:8080", "127.0.0.1@evil.example", "[::1", "[fe80::1]:8080", "192.168.0.7:8080", "localhost:x:y",
    "evil\u00e9.example", "169.254.169.254", "x" * 5000,
]  # fmt: skip


def request(method: str, path: str, study: optuna.Study, **headers: str) -> tuple[str, str]:
    """The status and the text of the answer to a request."""
    statuses: list[str] = []
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method, "PATH_INFO": path, "SERVER_NAME": "127.0.0.1", "SERVER_PORT": "8080",
        "wsgi.url_scheme": "http", **{f"HTTP_{name.upper()}": value for name, value in headers.items()},
    }  # fmt: skip
    application = local_only(wsgi(study._storage))  # type: ignore[arg-type]
    body = application(environ, lambda status, _headers, *_: statuses.append(status))
    return statuses[-1], b"".join(body).decode()


@pytest.fixture
def study() -> optuna.Study:
    """A study in memory."""
    return optuna.create_study(study_name="s")


@pytest.mark.parametrize("host", LOCAL)
def test_requests_to_this_machine_are_answered(study: optuna.Study, host: str) -> None:
    assert request("GET", "/api/studies", study, host=host)[0].startswith("200")
    assert request("GET", "/api/studies", study, host=host, origin=f"http://{host}")[0].startswith("200")


@pytest.mark.parametrize("host", FOREIGN)
def test_requests_of_other_sites_are_refused_in_words_and_delete_nothing(study: optuna.Study, host: str) -> None:
    for method, path in (("GET", "/api/studies"), ("DELETE", "/api/studies/0"), ("GET", "/dashboard")):
        status, text = request(method, path, study, host=host)
        assert status == "403 Forbidden" and text.startswith("Refused: this request is for") and len(text) < 400
    assert len(study._storage.get_all_studies()) == 1


@pytest.mark.parametrize("origin", ["null", "http://evil.example", "http://localhost.evil.example:8080", "file://"])
def test_pages_of_other_sites_cannot_use_the_name_of_this_machine(study: optuna.Study, origin: str) -> None:
    assert request("DELETE", "/api/studies/0", study, host="localhost:8080", origin=origin)[0] == "403 Forbidden"
    assert len(study._storage.get_all_studies()) == 1


def test_without_the_check_a_foreign_page_deletes_studies(study: optuna.Study) -> None:
    """Shows that the tests above can fail."""
    assert request("DELETE", "/api/studies/0", study, host="localhost:8080")[0].startswith("204")
    assert len(study._storage.get_all_studies()) == 0
