"""Several trainings on one GPU: what is measured, which numbers fit, and what is said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from confirmed import finished, load, space, study
from tiny import make_config, make_splits

from regstudy.config.run_config import RunConfig
from regstudy.errors import StudyError
from regstudy.search import gpu_sharing, worker
from regstudy.search.events import Event
from regstudy.search.gpu_sharing import check_memory, devices_of, heaviest, judge, limit_share, share
from regstudy.search.launcher import Ray
from regstudy.search.search_options import SearchOptions
from regstudy.space.fixed_plan import FixedPlan
from regstudy.study import attributes
from regstudy.training.memory import DeviceMemory

CARD = DeviceMemory(total=85e9, free=80e9)


@pytest.mark.parametrize(
    ("workers", "need", "fits", "said"),
    [
        ([4], 15e9, True, ""),  # 62.8 of 80 GB
        ([4], 18e9, True, "4 workers on cuda:0 need about 74.8 GB of its memory; 80.0 GB of 85.0 GB are free."),
        ([5], 18e9, False, "5 workers on cuda:0 need about 93.5 GB of its memory; 80.0 GB of 85.0 GB are free."),
        ([1], 90e9, False, "1 worker on cuda:0 needs about 90.7 GB of its memory; 80.0 GB of 85.0 GB are free."),
        ([3, 2], 18e9, True, ""),
        ([2, 5], 18e9, False, "5 workers on cuda:1 need about 93.5 GB of its memory; 80.0 GB of 85.0 GB are free."),
    ],
)
def test_which_workers_fit(workers: list[int], need: float, fits: bool, said: str) -> None:
    devices = [f"cuda:{index}" for index, number in enumerate(workers) for _ in range(number)]
    assert judge(devices, need, dict.fromkeys(devices, CARD)) == (fits, said)


def test_every_network_is_measured_with_the_largest_batch_size() -> None:
    wide = {"options": {"width": {"choices": [4, 64]}}}
    plan = space(model=wide, training={"batch_size": {"choices": [16, 256, 32]}})
    found = heaviest(plan)
    assert {config.training.batch_size for config in found} == {256}
    assert sorted(config.model.options["width"] for config in found) == [4, 64]


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The devices on which memory was measured, of a machine with two GPUs of 85 GB; a training needs 30 GB."""
    devices: list[str] = []

    def peak(_config: RunConfig, _splits: object, device: torch.device) -> float:
        devices.append(str(device))
        return 30e9

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(gpu_sharing, "peak_memory", peak)
    monkeypatch.setattr(gpu_sharing, "memory_of", lambda device: replace(CARD, free=80e9 - 30e9 * (device.index or 0)))
    return devices


@pytest.mark.parametrize(
    ("device", "workers", "refused", "measures"),
    [
        ("cpu", 4, "", 0),
        ("cuda", 1, "", 0),
        ("cuda", 2, "", 1),
        ("cuda:0", 2, "", 1),
        ("cuda", 4, "^2 workers on cuda:1 .* Use --workers 3, or a smaller upper end", 1),  # this card is fuller
        ("cuda:1", 2, "2 workers on cuda:1 .* Use --workers 1, or", 1),
        ("cuda", 8, "4 workers on cuda:0 .* 4 workers on cuda:1 .* Use --workers 3, or", 1),
    ],
)
def test_workers_that_do_not_fit_are_refused_before_they_start(
    measured: list[str], device: str, workers: int, refused: str, measures: int
) -> None:
    heard: list[Event] = []
    options = SearchOptions(8, device, 8, workers)
    plan = FixedPlan("x", {"a": make_config(), "b": make_config({"regularization.l2": 0.1})}, space().study)
    if refused:
        with pytest.raises(StudyError, match=refused):
            check_memory(plan, make_splits(), options, heard.append)
    else:
        check_memory(plan, make_splits(), options, heard.append)
    assert measured == [devices_of(device, workers)[0]] * measures
    # 61.4 GB of 80 GB is not tight, 30.7 GB of 50 GB is not either
    assert not heard


@pytest.mark.parametrize("share", [None, 0.25])
def test_a_worker_limits_only_itself(monkeypatch: pytest.MonkeyPatch, share: float | None) -> None:
    limits: list[tuple[float, torch.device]] = []
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda *given: limits.append(given))
    limit_share(torch.device("cuda:1"), share)
    assert limits == ([] if share is None else [(share, torch.device("cuda:1"))])


@pytest.mark.parametrize("lacking", ["all", "most"])
def test_a_study_stops_where_no_trial_has_enough_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lacking: str
) -> None:
    attempts: list[int] = []

    def run(*_given: object, **_more: object) -> object:
        attempts.append(1)
        if lacking == "all" or len(attempts) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return genuine(*_given, **_more)  # type: ignore[arg-type]

    genuine = worker.run
    monkeypatch.setattr(worker, "run", run)
    tiny = space(training={"epochs": 1})
    if lacking == "all":
        with pytest.raises(StudyError, match=r"last 5 trials all failed for lack of memory.*--workers, --device"):
            study(tmp_path, 8, space=tiny, confirm=0.0)
        assert len(attempts) == 5
    else:  # one that is finished shows that the machine can train this
        study(tmp_path, 3, space=tiny, confirm=0.0)
        assert len(attempts) == 1 + 2 * 3 and finished(tmp_path / "s") == (1, 0)
    reasons = [one.user_attrs.get(attributes.REASON, "") for one in load(tmp_path / "s").trials]
    assert sum(reason.startswith("out of memory") for reason in reasons) == len(attempts) - (lacking == "most")


def test_the_workers_of_a_cluster_are_not_measured_here(measured: list[str]) -> None:
    options = SearchOptions(8, "cuda", 8, 8, launcher=Ray(gpus_per_worker=0.1))
    check_memory(FixedPlan("x", {"a": make_config()}, space().study), make_splits(), options, print)
    assert not measured


@pytest.mark.parametrize(("workers", "expected"), [(1, 0.9329), (4, 0.2271), (8, 0.1094), (200, 0.01)])
def test_what_workers_may_take_leaves_room_for_their_processes(workers: int, expected: float) -> None:
    assert share(CARD, workers) == expected


def test_a_worker_prepares_cublas_before_anything_uses_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    def limit(*_given: object) -> None:
        done.append("limit")
        raise KeyboardInterrupt

    monkeypatch.setattr(worker, "prepare_cublas", lambda: done.append("cublas"))
    monkeypatch.setattr(worker, "limit_share", limit)
    plan = FixedPlan("x", {"a": make_config()}, space().study)
    job = worker.Job("sqlite:///x", "s", Path("s"), plan, SearchOptions(8, "cuda", torch.get_num_threads()))
    with pytest.raises(KeyboardInterrupt):
        worker.work(job, make_splits(), worker.Watch(print))
    assert done == ["cublas", "limit"]
