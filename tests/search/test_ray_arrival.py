"""Whether a node of a cluster is fit for a study; no Ray is needed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from confirmed import space
from tiny import make_config

from regstudy.errors import StudyError
from regstudy.search.launcher import Ray
from regstudy.search.ray_arrival import check_arrival, jobs_of
from regstudy.search.ray_worker import Arrival
from regstudy.search.search_options import SearchOptions
from regstudy.search.worker import Job
from regstudy.space.fixed_plan import FixedPlan

OURS = {"regstudy": "1.0", "torch": "2.11"}
FIT = Arrival({"host": "here"}, "here", OURS, sees_folder=True, cuda=False, lacking=())


@pytest.mark.parametrize(
    ("changes", "gpus", "on_file", "said"),
    [
        ({}, 0, True, ""),
        ({"host": "there", "sees_folder": False}, 0, False, ""),
        ({"cuda": True}, 0.25, False, ""),
        ({"versions": {**OURS, "torch": "2.9"}}, 0, False, "has torch 2.9 instead of 2.11. Install the same versions"),
        ({"versions": {"regstudy": "2", "torch": "2.9"}}, 0, False, "regstudy 2 instead of 1.0 and torch 2.9 instead"),
        ({"host": "there"}, 0, True, "the cluster has other machines (there)"),
        ({"sees_folder": False}, 0, True, "--storage postgresql://"),
        ({}, 0.25, True, "torch sees no GPU on the node here"),
        ({"lacking": (Path("/w.safetensors"),)}, 0, True, "lacks the file /w.safetensors"),
    ],
)
def test_a_node_is_fit_or_the_reason_is_said(changes: dict[str, Any], gpus: float, on_file: bool, said: str) -> None:
    arrival, asked = replace(FIT, **changes), Ray(gpus_per_worker=gpus)
    if not said:
        check_arrival(arrival, OURS, "here", asked, on_file=on_file)
        return
    with pytest.raises(StudyError) as caught:
        check_arrival(arrival, OURS, "here", asked, on_file=on_file)
    assert said in str(caught.value)


@pytest.mark.parametrize(("gpus", "device", "share"), [(0, "cpu", None), (1, "cuda", None), (0.25, "cuda", 0.25)])
def test_workers_get_the_threads_and_the_share_of_a_gpu_that_were_asked_for(
    gpus: float, device: str, share: float | None
) -> None:
    plan = FixedPlan("x", {"a": make_config()}, space().study)
    job = Job("sqlite:///x", "s", Path("s"), plan, SearchOptions(8, "cpu", 7))
    jobs = jobs_of(job, 3, Ray(gpus_per_worker=gpus, cpus_per_worker=2))
    assert [one.worker for one in jobs] == [0, 1, 2]
    assert {(one.options.device, one.options.threads, one.gpu_share) for one in jobs} == {(device, 2, share)}
