"""The runs of an ablation, from the tables of the study that stores them."""

from __future__ import annotations

import math
from dataclasses import replace

from regstudy.analysis.ablation import Ablation, ablation
from regstudy.analysis.ablation_arms import contrasts_of
from regstudy.analysis.ablation_rates import is_try
from regstudy.analysis.contrasts import Contrast, Result, Stage
from regstudy.space.round_plan import ROUND
from regstudy.study.tables import PARAM, Tables


def compared(fresh: Tables) -> Tables:
    """The same tables without the runs that only choose learning rates: no comparison may see them."""
    trials = fresh.trials[~fresh.trials["arm"].map(is_try, na_action="ignore").fillna(False).astype(bool)]
    kept = trials["number"]
    return replace(fresh, trials=trials, epochs=fresh.epochs[fresh.epochs["number"].isin(kept)])


def results_in(fresh: Tables) -> dict[str, dict[int, Result]]:
    """What each finished run that is compared reached, by arm and repeat."""
    return {arm: row for arm, row in _results(fresh).items() if not is_try(arm)}


def tries_in(fresh: Tables) -> dict[str, dict[int, Result]]:
    """What each finished run reached that only chooses learning rates, by its arm and its own repeat."""
    return {arm: row for arm, row in _results(fresh).items() if is_try(arm)}


def _results(fresh: Tables) -> dict[str, dict[int, Result]]:
    """What each finished run reached; one that diverged has neither gap nor fit."""
    found: dict[str, dict[int, Result]] = {}
    if PARAM + ROUND not in fresh.trials:
        return found
    ended = fresh.trials[(fresh.trials["state"] == "COMPLETE") & fresh.trials[PARAM + ROUND].notna()]
    fit = fresh.measured.clean_train
    for _, row in ended.iterrows():
        known = (float(row[fresh.gap]), float(row[fit])) if row["outcome"] != "diverged" else (math.nan, math.nan)
        found.setdefault(str(row["arm"]), {}).setdefault(int(row[PARAM + ROUND]), Result(float(row["value"]), *known))
    return found


def contrasts_in(fresh: Tables) -> list[Contrast]:
    """What is compared."""
    return contrasts_of(list(fresh.ablation["active"]), bool(fresh.ablation["add_one_in"]))


def stages_in(fresh: Tables) -> list[Stage]:
    """The stages so far."""
    return [Stage.parse(one) for one in fresh.ablation["stages"]]


def ablation_of(search: Tables, fresh: Tables | None) -> Ablation | None:
    """What the ablation runs of a study show, given its own tables and those of these runs; None without any."""
    if fresh is None or not fresh.ablation:
        return None
    results = results_in(fresh)
    if not any(results.values()):
        return None
    data = search.data
    split = None if data.get("own_validation") or not data.get("train") else data["validation"] / data["train"]
    lost = frozenset((arm, repeat) for arm, repeat in fresh.ablation.get("lost", ()))
    return ablation(
        results,
        contrasts_in(fresh),
        stages_in(fresh),
        margin=float(fresh.ablation["margin"]),
        maximize=search.maximize,
        lost=lost,
        test_share=split,
    )
