"""Workers on Ray, as far as it needs no Ray: what is asked for, what fits, who answers, what an actor says."""

from __future__ import annotations

import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from regstudy.cli.common_options import launcher_of
from regstudy.errors import ArgumentError, RegstudyError
from regstudy.search import ray_address, ray_worker
from regstudy.search.launcher import Ray
from regstudy.search.ray_address import answers, check_launcher
from regstudy.search.ray_worker import Briefing, RayWorker, Stopped
from regstudy.search.worker_deaths import DEATHS, STILLBORN, Deaths


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"gpus_per_worker": -0.1}, "--gpus-per-worker): must be a share of one GPU from 0 (none) to 1"),
        ({"gpus_per_worker": 2}, "use more of them with more workers"),
        ({"gpus_per_worker": float("nan")}, "but it is nan"),
        ({"gpus_per_worker": "half"}, "but it is 'half'"),
        ({"gpus_per_worker": True}, "but it is True"),
        ({"cpus_per_worker": 0}, "--cpus-per-worker): must be a whole number from 1 to 1,024, but it is 0"),
        ({"cpus_per_worker": 1.5}, "but it is 1.5"),
        ({"cpus_per_worker": True}, "but it is True"),
        ({"address": ""}, "must be auto or HOST:PORT"),
        ({"address": "head"}, "such as 10.0.0.5:6379, but it is 'head'"),
        ({"address": "head:0"}, "but it is 'head:0'"),
        ({"address": "head:70000"}, "but it is 'head:70000'"),
        ({"address": 6379}, "but it is 6379"),
        ({"address": "http://head:8265"}, "but it is 'http://head:8265'"),
        ({"address": "ray://head:10001"}, "of a Ray client. Give the command on a node of the cluster"),
        ({"data_on_nodes": "yes"}, "must be True or False"),
    ],
)
def test_a_wrong_launcher_says_what_is_allowed(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ArgumentError) as raised:
        Ray(**given)
    assert says in str(raised.value)


def test_all_wrong_values_are_told_together() -> None:
    with pytest.raises(ArgumentError, match="3 invalid arguments"):
        Ray(address="x", gpus_per_worker=-1, cpus_per_worker=0)


@pytest.mark.parametrize("address", [None, "auto", "head:6379", "10.0.0.5:1", "[::1]:6379"])
def test_addresses_that_are_right(address: str | None) -> None:
    assert Ray(address).address == address


@pytest.mark.parametrize(
    ("gpus", "cpus", "node", "fit"),
    [
        (0.0, 1, {"CPU": 8.0}, 8),
        (0.0, 3, {"CPU": 8.0}, 2),
        (0.0, 9, {"CPU": 8.0}, 0),
        (0.0, 1, {}, 0),
        (1.0, 2, {"CPU": 8.0}, 0),
        (1.0, 2, {"CPU": 8.0, "GPU": 2.0}, 2),
        (0.25, 2, {"CPU": 8.0, "GPU": 2.0}, 4),
        (0.1, 1, {"CPU": 64.0, "GPU": 2.0}, 20),
        (0.4, 1, {"CPU": 64.0, "GPU": 2.0}, 4),  # a share lies on one GPU
    ],
)
def test_as_many_workers_fit_on_a_node(gpus: float, cpus: int, node: dict[str, float], fit: int) -> None:
    assert Ray(gpus_per_worker=gpus, cpus_per_worker=cpus).fitting(node) == fit


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (("auto", None, None, False), "--address is only"),
        ((None, 0.25, None, False), "--gpus-per-worker is only"),
        ((None, 0.0, 1, False), "--gpus-per-worker and --cpus-per-worker are only"),
        ((None, None, None, True), "--data-on-nodes is only"),
    ],
)
def test_options_of_ray_alone_are_refused(given: tuple[Any, ...], named: str) -> None:
    with pytest.raises(ArgumentError, match=named):
        launcher_of("local", *given)


def test_the_options_become_a_launcher() -> None:
    assert launcher_of("local", None, None, None, False) is None
    assert launcher_of("ray", None, None, None, False) == Ray()
    assert launcher_of("ray", "auto", 0.25, 2, True) == Ray("auto", 0.25, 2, True)
    with pytest.raises(ArgumentError, match="cpus_per_worker"):
        launcher_of("ray", None, None, 0, False)


def test_without_ray_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setattr(ray_address.importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(ArgumentError, match=r"pip install 'regstudy\[ray\]'"):
        check_launcher(Ray())


@pytest.mark.parametrize("greeting", [b"", b"HTTP/1.1 400 Bad Request\r\n"])
def test_what_is_no_cluster_does_not_answer(greeting: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_address, "ANSWER", 0.3)
    monkeypatch.setattr(ray_address.importlib.util, "find_spec", lambda _name: True)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(greeting)
                time.sleep(0.5)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(ArgumentError, match=f"no Ray cluster answers at 127.0.0.1:{port}"):
            check_launcher(Ray(f"127.0.0.1:{port}"))
        thread.join()
    assert not answers("127.0.0.1", port)  # nobody listens any more


def test_workers_that_die_are_replaced_so_often() -> None:
    deaths = Deaths(": advice")
    for _ in range(DEATHS - 1):
        deaths.count(heard=True, reason="")
    deaths.trial_finished()
    deaths.count(heard=True, reason="")
    for _ in range(STILLBORN - 1):
        deaths.count(heard=False, reason="")
    deaths.trial_finished()
    for _ in range(STILLBORN - 1):
        deaths.count(heard=False, reason="")
    with pytest.raises(RegstudyError, match=f"{STILLBORN} worker processes in a row ended before they began: advice"):
        deaths.count(heard=False, reason="")


def test_a_node_that_takes_all_workers_with_it_does_not_end_the_study() -> None:
    deaths = Deaths(": advice", together=64)
    for heard in (False, True):
        for _ in range(32):
            deaths.count(heard=heard, reason="")
    for _ in range(DEATHS - 1):
        deaths.count(heard=True, reason="")
    with pytest.raises(RegstudyError, match=f"{DEATHS + 64} workers in a row died .* The last one: its node left"):
        deaths.count(heard=True, reason="its node left")


@pytest.fixture
def actor(monkeypatch: pytest.MonkeyPatch) -> RayWorker:
    """The actor's class, without Ray."""
    monkeypatch.setattr(ray_worker, "LONGEST_SILENCE", 0.01)
    return RayWorker()


def test_news_that_were_lost_are_told_again_until_they_were_seen(actor: RayWorker) -> None:
    for event in ("a", "b", "c"):
        actor._tell(event)
    assert actor.news(0) == actor.news(0) == [(1, "a"), (2, "b"), (3, "c")]
    assert actor.news(2) == [(3, "c")]
    assert actor.news(3) == []


def test_an_actor_that_begins_again_has_forgotten_its_earlier_work(actor: RayWorker, tmp_path: Path) -> None:
    actor._tell(Stopped())
    actor.stop()
    actor.begin(Briefing(tmp_path / "mark"))
    assert actor.news(0) == []
    assert not actor._stop_asked()
    actor._tell("new")
    assert actor.news(0) == [(1, "new")]


def test_an_actor_that_nobody_asks_any_more_stops(actor: RayWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not actor._stop_asked()
    monkeypatch.setattr(ray_worker, "ABANDONED", -1.0)
    assert actor._stop_asked()
    monkeypatch.undo()
    actor.stop()
    assert actor._stop_asked()


def test_an_error_that_should_not_be_ends_the_work_with_its_traceback(actor: RayWorker) -> None:
    actor._work(None, None)  # type: ignore[arg-type]
    [(_, ended)] = actor.news(0)
    assert isinstance(ended, Stopped)
    assert ended.crash.strip().splitlines()[-1].startswith("AttributeError")


@pytest.mark.parametrize("sees", [True, False])
def test_an_actor_proves_that_it_sees_the_folder(
    actor: RayWorker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sees: bool
) -> None:
    monkeypatch.setenv("PGUSER", "theirs")
    monkeypatch.delenv("PGPASSWORD", raising=False)
    mark = tmp_path / "mark"
    if sees:
        mark.touch()
    briefing = Briefing(mark, {"PGUSER": "ours", "PGPASSWORD": "x"}, (tmp_path / "no",))
    arrival = actor.begin(briefing)
    assert (arrival.sees_folder, arrival.lacking) == (sees, (tmp_path / "no",))
    assert "PGPASSWORD" not in repr(briefing)
    assert [ray_worker.os.environ[name] for name in ("PGUSER", "PGPASSWORD")] == ["theirs", "x"]
