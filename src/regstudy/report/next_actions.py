"""What to do next: up to three ranked actions with a command, what is to be expected, and what it costs."""

from __future__ import annotations

import json
import math
import shlex
from dataclasses import dataclass, replace

from regstudy.analysis.confirmation import Confirmation
from regstudy.analysis.next_trials import NEXT, NextTrials
from regstudy.analysis.race import MIN_ROUNDS, most_runs
from regstudy.report.ablation_findings import AblationFindings
from regstudy.report.boundary_checks import boundaries
from regstudy.report.metric_phrasing import amount, unit
from regstudy.report.phrasing import listing
from regstudy.report.range_phrasing import number, shown_gain, span
from regstudy.search.division import DEFAULT_SHARE
from regstudy.search.worth import gain_words
from regstudy.study.passwords import masked_url
from regstudy.study.place import StudyPlace
from regstudy.study.tables import PARAM, ParameterRange, Tables, best
from regstudy.text import counted, format_duration

MOST_ACTIONS = 3
ABLATION_RUNS = 70  # of `regstudy ablate` by default, which is stated where torch is loaded
CONFIRMED_SHARE = DEFAULT_SHARE / (1 - DEFAULT_SHARE)  # runs by default, as a share of the trials of the search


@dataclass(frozen=True)
class Action:
    """One thing to do. Without a command it is advice; ``gain`` and ``cost`` have a short line of their own below."""

    title: str
    why: str = ""
    command: str = ""
    gain: str = ""
    sure: str = ""  # how sure the gain is
    cost: str = ""
    runs: str = ""


def arguments_of(place: StudyPlace) -> str:
    """What a command takes to find a study: ``results/x``, perhaps with a database, without its password."""
    there = [str(place.file or place.folder), *(["--study", place.study] if place.study else [])]
    return shlex.join([*there, *(["--storage", masked_url(place.storage)] if place.storage else [])])


def next_actions(
    found: Confirmation | None, tables: Tables, where: str, *, unlearned: bool, apart: AblationFindings | None = None
) -> list[Action]:
    """The most useful first. ``where`` names the study in commands; see `arguments_of`. ``apart``: its ablation."""
    if unlearned or (found is not None and found.status == "nothing learned"):
        why = "It makes one network learn a few images first, and says what stands in the way."
        title = "Find out what keeps the networks from learning"
        return [Action(title, why, f"regstudy doctor {where}", "a reason", cost="minutes")]
    if found is None:
        return _to_confirm(tables, where)
    if found.left and found.rounds >= MIN_ROUNDS:
        more = _more(found, where, found.left, "Finish the confirmation runs")
        return [replace(more, command=f"regstudy confirm {where}")]
    match found.status:
        case "confirmed":
            made = _confirmed(found, tables, where, apart)
        case "no better":
            worse = found.gain.high < 0
            why = "It is better than the best of the search, and simpler." if worse else "It is as good, and simpler."
            made = [_train(found, where, found.baseline.number, "Train the baseline", why)]
        case "undecided":
            made = _undecided(found, where)
        case _:
            made = [_too_few(found, where)]
    return [*made, *_wider(tables)][:MOST_ACTIONS]


def more_trials(ahead: NextTrials | None, tables: Tables) -> Action | None:
    """What more trials of the same search would gain; None if that cannot be told."""
    if ahead is None:
        return None
    of = tables.measured
    title = f"{NEXT} more trials of this search"
    noise = f"one value has {'a noise' if ahead.measured else 'an assumed noise'} of {amount(ahead.noise, of)}"
    why = f"What they would truly gain, give or take a standard deviation; {noise}."
    cost = minutes(NEXT * float(tables.trials["seconds"].mean()))
    gain = gain_words(ahead.gain, ahead.error, of)
    return Action(title if ahead.worth else f"Not worth it: {title}", why, gain=gain, cost=cost)


def can_be_confirmed(tables: Tables) -> bool:
    """Whether there are a baseline and a winner with a stored configuration to be trained again."""
    stored = any("." in column and not column.startswith(PARAM) for column in tables.trials.columns)
    return stored and best(tables, "baseline") is not None and best(tables, "search") is not None


def minutes(seconds: float) -> str:
    """``24 min``; empty if unknown."""
    if not (math.isfinite(seconds) and seconds > 0):
        return ""
    return format_duration(seconds if seconds < 60 else 60 * round(seconds / 60))


def runs_words(found: Confirmation, runs: float) -> str:
    """``12 more runs (25 min)``."""
    spent = minutes(runs * found.run_seconds)
    return f"{counted(round(runs), 'more run')}{f' ({spent})' if spent else ''}"


def missing_runs(found: Confirmation) -> float:
    """The further runs that give winner and baseline the rounds that a claim needs, or decide; infinite if too many."""
    needed = 2.0 * max(MIN_ROUNDS - found.rounds, 0)
    return max(needed, found.more_runs) if math.isfinite(found.more_runs) else needed or found.more_runs


def _to_confirm(tables: Tables, where: str) -> list[Action]:
    left = 0 if tables.asked is None else tables.asked - len(set(tables.trials.loc[tables.ended(), "slot"].dropna()))
    if left > 0 and tables.command:
        why = f"{counted(left, 'trial')} of the search are left."
        return [Action("Finish the study", why, tables.command, "an answer", "", "", counted(left, "trial"))]
    if not can_be_confirmed(tables):
        return []
    finished = int(tables.trials["state"].isin(["COMPLETE", "PRUNED"]).sum())
    runs = most_runs(max(round(CONFIRMED_SHARE * finished), 2 * MIN_ROUNDS))
    seconds = float(tables.trials.loc[tables.observed(), "seconds"].mean())
    why = "It trains the leaders and the baseline again, with seeds that had no part in the search."
    command, cost, about = f"regstudy confirm {where}", minutes(runs * seconds), f"about {counted(runs, 'run')}"
    return [Action("Confirm the winner", why, command, "a yes or no", "", cost, about)]


def _train(found: Confirmation, where: str, trial: int | None, title: str, why: str) -> Action:
    export = f"regstudy export {where}{'' if trial is None else f' --trial {trial}'} -o best.yaml"
    command = f"{export} && regstudy train best.yaml -o model"
    return Action(title, why, command, cost=minutes(found.run_seconds), runs="1 run")


def _confirmed(found: Confirmation, tables: Tables, where: str, apart: AblationFindings | None) -> list[Action]:
    of, winner, simple = found.metric, found.winner, found.simplest
    train = _train(found, where, None, "Train the final model", "It also looks at the test images, once.")
    actions = [
        replace(train, gain=f"{number(shown_gain(found).mean, of, signed=True)} {unit(of)}", sure=span(found.gain, of))
    ]
    if simple is not winner:
        fewer = len(winner.active) - len(simple.active)
        command = f"regstudy export {where} --trial {simple.number} -o best.yaml"
        gain = f"{fewer} fewer to set" if fewer > 0 else "weaker settings"
        why = "The fresh rounds cannot distinguish it from the winner."
        actions.append(Action(f"Or take the simpler trial {simple.number}", why, command, gain, cost="no runs"))
    return [*actions, *_ablation(found, tables, where, apart)]


def _ablation(found: Confirmation, tables: Tables, where: str, apart: AblationFindings | None) -> list[Action]:
    """Which regularizer of the winner earned its gain: runs without each of them, or those that are still needed."""
    active = found.winner.active
    if apart is not None:
        return _settle(apart, where)
    if not active or not set(active) <= tables.regularizers.keys():
        return []
    why = "Not measured yet: it takes runs of the winner without each of its regularizers."
    cost = minutes(ABLATION_RUNS * found.run_seconds)
    runs = counted(ABLATION_RUNS, "run")
    return [Action("Find out what earned it", why, f"regstudy ablate {where}", "which to keep", "", cost, runs)]


def _settle(apart: AblationFindings, where: str) -> list[Action]:
    """The runs that are missing to a decision about each regularizer; nothing if there are none, or too many."""
    names = [one.name for one in apart.single if one.verdict == "undecided"]
    runs = apart.left or apart.total_runs - apart.spent
    if not names or not math.isfinite(runs) or runs <= 0:
        return []
    total = "" if apart.left else f" --runs {apart.total_runs}"
    cost = minutes(runs * apart.run_seconds)
    why = "It may be one setting too many." if len(names) == 1 else "They may be settings too many."
    command = f"regstudy ablate {where}{total}"
    return [Action(f"Settle {listing(names)}", why, command, "which to keep", "", cost, counted(round(runs), "run"))]


def _undecided(found: Confirmation, where: str) -> list[Action]:
    runs = missing_runs(found)
    if not math.isfinite(runs):
        why = "The difference is too small, next to its spread, to be worth the runs that would decide."
        return [_train(found, where, found.baseline.number, "Keep the baseline", why)]
    return [_more(found, where, runs, "Decide it")]


def _too_few(found: Confirmation, where: str) -> Action:
    if found.left:
        more = _more(found, where, found.left, "Go on with the confirmation runs")
        return replace(more, command=f"regstudy confirm {where}")
    return _more(found, where, max(missing_runs(found), 2.0), "Run the missing rounds")


def _more(found: Confirmation, where: str, runs: float, title: str) -> Action:
    """Further confirmation runs; `--runs` is their total, as `--trials` is of a search."""
    command = f"regstudy confirm {where} --runs {found.runs + round(runs)}"
    why = "Further fresh rounds of winner and baseline."
    cost = minutes(runs * found.run_seconds)
    return Action(title, why, command, "a yes or no", "", cost, counted(round(runs), "run"))


def _wider(tables: Tables) -> list[Action]:
    """A longer range for each parameter whose best trials clearly lie at its end."""
    spent, trials = minutes(float(tables.trials["seconds"].sum())), counted(len(tables.trials), "run")
    made = []
    for check in boundaries(tables):
        name = check.id.partition(":")[2]
        if check.severity != "act" or name not in tables.ranges:
            continue
        upward = " upward" in check.advice
        title = f"Extend the range of {name} {'upward' if upward else 'downward'}"
        command = _with_range(tables, name, _extended(tables.ranges[name], upward=upward))
        made.append(Action(title, check.finding, command, "not known", "", spent, trials))
    return made


def _extended(span_: ParameterRange, *, upward: bool) -> tuple[float, float] | None:
    """The range, ten times as far at one end, or by half of its width if it is not logarithmic."""
    low, high = span_.low, span_.high
    if low is None or high is None or span_.choices:
        return None
    if upward:
        return low, (high * 10 if span_.log else high + (high - low) / 2)
    return (low / 10 if span_.log else low - (high - low) / 2), high


def _with_range(tables: Tables, name: str, ends: tuple[float, float] | None) -> str:
    """The command of the study with another range, as a study of another name; empty if it cannot be written down."""
    command, values = tables.command or "", tables.trials[PARAM + name].dropna()
    whole = bool((values % 1 == 0).all())
    plain = name in tables.regularizers or name.startswith("optimizer.")
    if ends is None or whole or not plain or not command.startswith(("regstudy study", "python study.py")):
        return ""
    form = f"low: {ends[0]:g}, high: {ends[1]:g}{', log: true' if tables.ranges[name].log else ''}"
    if name + ".on" in tables.ranges:
        form = f"or: {json.dumps(tables.regularizers.get(name, 0))}, {form}"
    return f"{command} --set {shlex.quote(f'{name}={{{form}}}')} --study {shlex.quote(tables.name + '-wider')}"
