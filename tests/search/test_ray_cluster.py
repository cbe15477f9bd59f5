"""Studies on a real Ray cluster of two nodes with one CPU each, which share this machine."""

from __future__ import annotations

import importlib
import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
import psutil
import pytest
import ray
from faults.checks import assert_curves_repeat, assert_sound
from faults.commands import Start, until
from files.file_store_contract import check_store
from postgres import Server

import regstudy
from regstudy.errors import RegstudyError, StorageError
from regstudy.search import ray_cluster, ray_pool
from regstudy.search.events import EpochDone, Event, Notice
from regstudy.search.launcher import Ray
from regstudy.search.ray_cluster import connected
from regstudy.search.ray_worker import RayWorker
from regstudy.search.worker_deaths import STILLBORN
from regstudy.study import attributes
from regstudy.study.storage import open_named, open_storage

pytest_plugins = ["faults.fixtures", "postgres_fixture"]
pytestmark = [pytest.mark.ray, pytest.mark.postgres]
QUICK = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_failure_threshold": 3}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes; the second one may be killed."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FAULTY_STEP", "0.03")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        own = str(Path(regstudy.__file__).parents[1])
        patch.setenv("PYTHONPATH", os.pathsep.join([own, *filter(None, [os.environ.get("PYTHONPATH")])]))
        head = {"num_cpus": 1, "include_dashboard": False, "_system_config": QUICK}
        started = Cluster(initialize_head=True, head_node_args=head)
        started.add_node(num_cpus=1)
        yield started
        ray.shutdown()
        started.shutdown()


@pytest.fixture
def url(server: Server, tmp_path: Path) -> str:
    """The URL of an empty database of the test's own."""
    return server.create(tmp_path.name)


def finished(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED))


def running(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """The trials under way that have an epoch."""
    trials = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,))
    return [trial for trial in trials if attributes.EPOCHS in trial.user_attrs]


def test_files_that_are_carried_fulfill_the_contract(cluster: Any, tmp_path: Path) -> None:
    with connected(Ray(cluster.address), one_machine=True) as connection:
        files = connection.files(tmp_path)
        check_store(files, tmp_path)
        with pytest.raises(ValueError, match="is not in"):
            files.read(Path("/etc/passwd"))
        with pytest.raises(ValueError, match="is not in"):
            files.write(tmp_path / ".." / "x", b"")
        ray.kill(files.keeper)
        with pytest.raises(StorageError, match="machine that started the study cannot be reached"):
            for _ in range(100):  # a kill takes a moment
                files.names(tmp_path)
                time.sleep(0.1)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"gpus_per_worker": 0.25}, "no GPU that Ray can see"),
        ({"cpus_per_worker": 2}, "a worker with 2 CPUs fits on no node; the largest one has 1"),
        ({"gpus_per_worker": 1, "cpus_per_worker": 2}, "2 invalid arguments"),
    ],
)
def test_what_fits_nowhere_is_refused_before_anything_is_written(
    cluster: Any, folder: Path, asked: dict[str, Any], says: str
) -> None:
    with pytest.raises(RegstudyError, match=says):
        regstudy.run_study(
            "faulty.yaml", trials=2, doctor=False, data_dir=".", launcher=Ray(cluster.address, **asked), progress=print
        )
    assert not (folder / "results").exists()


@pytest.mark.parametrize(
    ("gpus", "share", "says"),
    [
        (8.0, 0.0, " They train on the CPU. To use the 8 GPUs: --gpus-per-worker 1, or a share such as 0.25."),
        (8.0, 0.25, ""),
        (0.0, 0.0, ""),
    ],
)
def test_gpus_that_nobody_uses_are_told(gpus: float, share: float, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "_alive", lambda: [{"CPU": 4.0}, {"CPU": 4.0, "GPU": gpus}])
    assert ray_cluster.unused_gpus(Ray(gpus_per_worker=share)) == says


def test_a_file_is_no_storage_for_other_machines(cluster: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster.socket, "gethostname", lambda: "another")
    with pytest.raises(RegstudyError, match=r"--storage postgresql://USER@HOST/DATABASE"):
        regstudy.run_study("faulty.yaml", trials=2, doctor=False, launcher=Ray(cluster.address), progress=print)
    assert not (folder / "results").exists()


@pytest.mark.usefixtures("folder")
def test_a_worker_that_cannot_start_ends_the_study_with_the_reason(
    cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Unknown:
        """Cannot be unpacked anywhere."""

        def __reduce__(self) -> tuple[Any, ...]:
            return importlib.import_module, ("module_that_no_node_has",)

    monkeypatch.setattr(ray_pool, "DISK", Unknown())
    with pytest.raises(RegstudyError, match=r"A Ray worker could not begin: .*module_that_no_node_has"):
        regstudy.run_study(
            "faulty.yaml", trials=2, doctor=False, data_dir=".", launcher=Ray(cluster.address), progress=print
        )


@pytest.mark.usefixtures("folder")
def test_workers_that_died_while_they_had_nothing_to_do_are_no_reason_to_give_up(
    cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, dead = ray_pool.current, list[Any]()

    def current() -> ray_cluster.Cluster:
        connection = real()
        if not dead:
            dead.extend(ray.remote(RayWorker).options(num_cpus=0).remote() for _ in range(STILLBORN + 2))
            for actor in dead:
                ray.kill(actor)
            connection.idle.extend(dead)
        return connection

    monkeypatch.setattr(ray_pool, "current", current)
    result = regstudy.run_study(
        "faulty.yaml", trials=1, doctor=False, data_dir=".", launcher=Ray(cluster.address), progress=print
    )
    assert result.finished == 1


def test_checkpoints_and_weights_come_back_from_a_node_that_does_not_see_the_folder(
    cluster: Any, folder: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that is killed is replaced, and the new one continues its trial from the checkpoint that came back."""
    real, killed, said = ray_pool.mark_in, list[int](), list[str]()

    class Elsewhere:
        def __init__(self, path: Path) -> None:
            self.real = real(path)

        def __enter__(self) -> Path:
            return self.real.__enter__().with_name("what nobody sees")

        def __exit__(self, *raised: Any) -> None:
            self.real.__exit__(*raised)

    def progress(event: Event) -> None:
        if isinstance(event, Notice):
            said.append(str(event))
        if isinstance(event, EpochDone) and event.record.epoch == 4 and not killed:
            with closing(open_named(url, "carried")) as opened:
                owner = opened.study.get_trials(deepcopy=False)[event.number].user_attrs[attributes.OWNER]
            killed.append(event.number)
            psutil.Process(owner["pid"]).kill()

    monkeypatch.setattr(ray_pool, "mark_in", Elsewhere)
    result = regstudy.run_study(
        "faulty.yaml", trials=4, name="carried", storage=url, doctor=False, data_dir=".", workers="auto",
        launcher=Ray(cluster.address), progress=progress,
    )  # fmt: skip
    assert said[0].endswith("2 workers, as many as fit now."), said
    study = optuna.load_study(study_name="carried", storage=open_storage(url))
    trials = assert_sound(folder / "results" / "carried", 4, study=study)
    assert_curves_repeat(folder, trials, through_cli=0)
    dead = study.get_trials(deepcopy=False)[killed[0]].user_attrs
    assert dead[attributes.FAULT] == "killed"
    again = [trial for trial in trials if trial.user_attrs[attributes.SLOT] == dead[attributes.SLOT]]
    assert again[0].user_attrs[attributes.RESUMED] >= 1
    place = folder / "results" / "carried"
    assert list((place / "checkpoints").iterdir()) == []
    assert len(list((place / "weights").iterdir())) >= 3
    assert not list(place.glob(".seen_by_workers*"))
    assert result.finished == 4


def test_a_node_that_is_killed_costs_no_trial_and_another_one_takes_its_place(
    cluster: Any, start: Start, folder: Path, url: str
) -> None:
    """The network's module lies in the working folder only, so it has to travel to the workers."""
    command = start(
        "study", "--space", "faulty.yaml", "--no-doctor", "--data-dir", ".", "--storage", url, "--trials", "8",
        "--launcher", "ray", "--address", cluster.address, "--workers", "2",
    )  # fmt: skip
    until(lambda: "  [1/8]" in command.stdout, "a trial is finished")
    study = optuna.load_study(study_name="faulty", storage=open_storage(url))
    until(lambda: len(running(study)) == 2, "both workers are at it")
    (folder / "step").write_text("0.2")  # so that there is work left for the node that joins
    cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
    cluster.add_node(num_cpus=1)

    def owners() -> set[int]:
        return {trial.user_attrs[attributes.OWNER]["pid"] for trial in study.get_trials(deepcopy=False)}

    until(lambda: len(owners()) == 3, "a worker on the node that joins has taken a trial")
    (folder / "step").write_text("0")
    assert command.wait() == 0, command.said
    trials = assert_sound(folder / "results" / "faulty", 8, study=study)
    assert_curves_repeat(folder, trials, through_cli=0)
    faults = Counter(trial.user_attrs.get(attributes.FAULT) for trial in study.get_trials(deepcopy=False))
    assert faults["killed"] == 1, command.said
    assert "raylet" not in command.said
    assert command.stderr == ""
