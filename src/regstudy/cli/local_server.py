"""Serves a web application on this machine only.

A web page from elsewhere can let its own name point to 127.0.0.1 and then speak, from the visitor's browser, to servers
on the visitor's machine (DNS rebinding). Such requests name the page's host, so they are recognized and refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlsplit
from wsgiref.simple_server import WSGIRequestHandler, make_server

LOCAL_HOST = "127.0.0.1"
LOCAL_NAMES = frozenset({"localhost", LOCAL_HOST, "::1"})

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Quiet(WSGIRequestHandler):
    """Does not print every request."""

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing."""


def serve(application: Application, port: int) -> None:
    """Serve an application to this machine until Ctrl-C."""
    with make_server(LOCAL_HOST, port, local_only(application), handler_class=Quiet) as server:
        server.serve_forever()


def local_only(application: Application) -> Application:
    """The application for requests that name this machine; all others get the status 403 and the reason."""

    def guarded(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        host, origin = environ.get("HTTP_HOST", ""), environ.get("HTTP_ORIGIN")
        if is_local(f"//{host}") and (origin is None or is_local(origin)):
            return application(environ, start_response)
        shown = (origin or "another site") if is_local(f"//{host}") else host or "no host"
        start_response("403 Forbidden", [("Content-Type", "text/plain; charset=utf-8")])
        return [f"Refused: this request is for {shown[:200]!a}. Open http://localhost:PORT on this machine.\n".encode()]

    return guarded


def is_local(url: str) -> bool:
    """Whether a URL names this machine."""
    try:
        parts = urlsplit(url)
        return parts.hostname in LOCAL_NAMES and (parts.port is None or parts.port > 0)
    except ValueError:  # no host, or a port that is no number
        return False
