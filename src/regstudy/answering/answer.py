"""One call to the answer: doctor, pilot, plan, search, confirmation, ablation and final training within a budget."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regstudy.analysis.answer_plan import AnswerPlan
from regstudy.analysis.stored_margin import stored_margin
from regstudy.answering.answer_clock import AnswerClock
from regstudy.answering.answer_phases import Answering
from regstudy.answering.answer_subject import find_subject
from regstudy.answering.plan_inputs import PlanInputs
from regstudy.answering.plan_words import command_lines
from regstudy.doctor.preflight import Preflight, skipped
from regstudy.errors import ArgumentError, require
from regstudy.report.written_files import check_report_files
from regstudy.search.arguments import (
    check_margin,
    check_texts,
    listener_of,
    machine,
    options_of,
    seconds_of,
    where_of,
)
from regstudy.search.call_text import DATA_DIR, call_text, doctor_command
from regstudy.search.events import Listener
from regstudy.search.study_images import gather
from regstudy.space.search_space import Space

if TYPE_CHECKING:  # plotly and scikit-learn take half a second, which is spent only when there is a result
    from regstudy.report.study_result import StudyResult


def answer(
    subject: str | Path | Space,
    *,
    budget: str | float,
    margin: float | None = None,
    overrides: Sequence[str] = (),
    name: str | None = None,
    results: str | Path = "results",
    data_dir: str | Path = DATA_DIR,
    storage: str | None = None,
    workers: int = 1,
    doctor: bool = True,
    force: bool = False,
    device: str | None = None,
    threads: int | None = None,
    progress: Listener | None = None,
    command: str | None = None,
) -> StudyResult:
    """From a space or images to an answer within a time budget. The same call goes on, or returns what is there.

    - ``subject``: a `Space`, its name, a YAML file, or a folder or CSV file of images, for which a space is written.
    - ``budget``: wall time of everything, earlier calls included: seconds, or a string such as ``"8h"``.
    - ``margin``: effects up to this do not matter, in points of a share (default 0.3) or in nats (default 0.003).

    A pilot tells what a training costs and how noisy it is; the budget is divided by that. Then come `run_study`,
    `confirm`, `ablate` and `train`; the trained network is in the folder `model` of the study's. The other arguments
    and the exceptions are those of `run_study`; ArgumentError if the budget is too small for any answer.
    """
    given = {key: value for key, value in locals().items() if key not in ("progress", "command")}
    return answer_since(given, listener_of(progress), command or call_text(answer, given), time.time())


def answer_since(given: dict[str, Any], listen: Listener, command: str, began: float) -> StudyResult:
    """The same for arguments by name, with a time (time.time()) from which the budget counts."""
    require("subject", given["subject"], (str, Path, Space), "a space, or a folder or CSV file of images")
    check_texts("overrides", given["overrides"])
    for argument in ("doctor", "force"):
        require(argument, given[argument], bool, "True or False")
    check_margin(given["margin"])
    budget = seconds_of("budget", given["budget"])
    if not 0 < budget < math.inf:
        raise ArgumentError(f"budget (--budget) must be a time above 0, such as 8h, but it is {given['budget']!r}.")
    where = where_of(given["results"], given["name"], given["storage"], given["data_dir"])
    with machine(given["device"], given["threads"]) as used:
        options = options_of(1, given["workers"], None, None, "signal", used)
        subject = find_subject(given["subject"], given["overrides"], budget, used, listen)
        asked = subject.space
        space, images = gather(asked, asked.fallback, where.data_dir, listen, where.place)
        place = where.place(space)
        check_report_files(place.folder, "search")
        whole = doctor_command(asked, where.data_dir)
        preflight = Preflight(where.data_dir, used, listen, whole, given["force"]) if given["doctor"] else skipped
        typed = {
            "results": _unless(given["results"], "results"),
            "data-dir": _unless(given["data_dir"], DATA_DIR),
            "workers": _unless(given["workers"], 1),
            "device": given["device"],
            "threads": given["threads"],
            "no-doctor": not given["doctor"],
            "force": given["force"],
        }

        def sheet(plan: AnswerPlan, lines: list[str]) -> str:
            by_hand = command_lines(subject, place, plan, given["margin"], typed)
            head = "Plan, from an estimate of what a training costs (early stopping may save part of it):"
            return "\n".join([head, *lines, "", "By hand:", *by_hand])

        inputs = PlanInputs(space, images.splits, stored_margin(given["margin"], space.study.metric), budget)
        Answering(
            inputs, images, place, options, where.data_dir, given["margin"], preflight, command,
            AnswerClock(budget, began, listen), lambda: subject.keep(listen), sheet,
        ).run()  # fmt: skip
        from regstudy.report.results import result_in

        return result_in(place)


def _unless(value: Any, default: Any) -> Any:
    return None if Path(str(value)) == Path(str(default)) else value
