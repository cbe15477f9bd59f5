"""Checks on studies whose truth is known; random search, so what is found at an edge by chance can be counted."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState
from synthetic import make_study

from regstudy.analysis.winners_curse import WinnersCurse, winners_curse
from regstudy.report.finding_phrasing import winners_curse_sentence
from regstudy.report.study_checks import SEVERITIES, StudyCheck, checks
from regstudy.study import attributes
from regstudy.study.load_tables import load_tables
from regstudy.study.tables import Tables

LR = FloatDistribution(1e-4, 1e-2, log=True)
UNIT = FloatDistribution(0.0, 1.0)


def study(direction: str = "maximize", regularizers: dict[str, Any] | None = None, **facts: Any) -> optuna.Study:
    made = optuna.create_study(direction=direction)
    made.set_user_attr(attributes.REGULARIZERS, regularizers or {})
    for key, value in facts.items():
        made.set_user_attr(attributes.PREFIX + key, value)
    return made


def add(
    made: optuna.Study,
    value: float | None,
    params: dict[str, Any] | None = None,
    distributions: dict[str, BaseDistribution] | None = None,
    state: TrialState = TrialState.COMPLETE,
    **attrs: Any,
) -> None:
    made.add_trial(
        optuna.create_trial(
            state=state,
            value=value,
            params=params or {},
            distributions=distributions or {},
            user_attrs={attributes.PREFIX + key: kept for key, kept in attrs.items()},
        )
    )


def one_parameter(
    name: str,
    span: BaseDistribution,
    settings: Sequence[Any],
    values: Sequence[float] | None = None,
    *,
    direction: str = "maximize",
    regularizers: dict[str, Any] | None = None,
) -> Tables:
    """Trials with these settings from best to worst (unless values are given)."""
    made = study(direction, regularizers)
    sign = 1 if direction == "maximize" else -1
    for i, setting in enumerate(settings):
        value = values[i] if values is not None else sign * (0.9 - 0.01 * i)
        add(made, value, {name: setting}, {name: span})
    return load_tables(made)


def at(tables: Tables, start: str) -> StudyCheck | None:
    found = [check for check in checks(tables) if check.id == start]
    assert len(found) <= 1
    return found[0] if found else None


def lr(share: float) -> float:
    """A learning rate by its place in the range, 0 to 1 on the log scale."""
    return float(10 ** (-4 + 2 * share))


MIDDLE = [0.41, 0.52, 0.63, 0.44, 0.55, 0.36, 0.47, 0.58]


@pytest.mark.parametrize(
    ("places", "severity", "words"),
    [
        ([0.95, 0.97, 0.5, 0.93, 0.99, *MIDDLE], "act", "4 of the top 5 trials are in the upper tenth of the range"),
        ([0.5, 0.97, 0.51, 0.93, 0.99, *MIDDLE], "act", "3 of the top 5"),  # the best is elsewhere
        ([0.05, 0.03, 0.5, 0.01, *MIDDLE], "act", "3 of the top 5 trials are in the lower tenth"),
        ([0.95, *MIDDLE, 0.2, 0.3], "note", "The best trial (1 of the top 5) is in the upper tenth"),
        ([0.95, 0.97, *MIDDLE, 0.2], "note", "2 of the top 5"),
        ([0.5, 0.97, 0.01, 0.93, *MIDDLE], None, ""),  # two, and not the best
        ([*MIDDLE, 0.95, 0.97, 0.99], None, ""),  # at the edge, but bad
        ([0.88, 0.885, 0.89, 0.87, *MIDDLE], None, ""),  # just inside
        ([0.95, 0.97, 0.98, 0.93, 0.99], None, ""),  # fewer than ten trials: as for the verdict, too few to judge
    ],
)
@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_boundaries(places: list[float], severity: str | None, words: str, direction: str) -> None:
    check = at(one_parameter("optimizer.lr", LR, [lr(p) for p in places], direction=direction), "boundary:optimizer.lr")
    if severity is None:
        assert check is None
        return
    assert check is not None and check.severity == severity and words in check.finding
    assert "(0.0001 to 0.01)" in check.finding
    assert ("upward, beyond 0.01" if places[0] > 0.9 or places[1] > 0.9 else "downward, beyond 0.0001") in check.advice
    assert check.advice.startswith("If more trials confirm it: extend") is (severity == "note")


LOW, HIGH = [0.01, 0.02, 0.03, 0.04, 0.05, *MIDDLE], [0.99, 0.98, 0.97, 0.96, 0.95, *MIDDLE]


@pytest.mark.parametrize(
    ("name", "span", "places", "null", "severity", "words"),
    [
        ("augmentation.strength", UNIT, HIGH, 0.0, "note", "cannot be exceeded"),
        ("augmentation.strength", UNIT, LOW, 0.0, "note", "Try 0, which turns `augmentation.strength` off"),
        ("model.dropout", FloatDistribution(0.0, 0.6), HIGH, 0.0, "act", "upward, beyond 0.6"),
        ("model.dropout", FloatDistribution(0.1, 0.6), LOW, 0.0, "note", "off."),
        ("regularization.l2", FloatDistribution(1e-6, 1e-2, log=True), LOW, 0.0, "note", "off."),
        ("regularization.l2", FloatDistribution(1e-6, 1e-2, log=True), HIGH, 0.0, "act", "upward, beyond 0.01"),
        ("model.keep", FloatDistribution(0.2, 1.0), HIGH, 1.0, "note", "Try 1"),  # its null is the upper end
        ("model.keep", FloatDistribution(0.2, 1.0), LOW, 1.0, "act", "downward, beyond 0.2"),
        ("optimizer.momentum", UNIT, HIGH, None, "note", "only near 1: it cannot go further"),
        ("optimizer.momentum", UNIT, LOW, None, "note", "only near 0: it cannot go further"),
        ("optimizer.lr", FloatDistribution(1e-2, 1.0, log=True), HIGH, None, "act", "upward, beyond 1"),
        ("model.big.dropout", FloatDistribution(0.1, 0.6), LOW, "model.dropout", "note", "off."),
        ("model.big.drop_path", FloatDistribution(0.1, 0.6), LOW, "model.dropout", "act", "downward"),
    ],
)  # fmt: skip
def test_nothing_is_extended_beyond_a_natural_end(
    name: str, span: FloatDistribution, places: list[float], null: Any, severity: str, words: str
) -> None:
    if span.log:
        settings = [span.low * (span.high / span.low) ** place for place in places]
    else:
        settings = [span.low + place * (span.high - span.low) for place in places]
    regularizers = {} if null is None else {null: 0.0} if isinstance(null, str) else {name: null}
    check = at(one_parameter(name, span, settings, regularizers=regularizers), f"boundary:{name}")
    assert check is not None and check.severity == severity and words in check.advice


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ([256, 128, 256, 256, 64] * 3, "3 of the top 5 trials are at the upper end of the choices"),
        ([64, 64, 64, 64, 128] + [256] * 10, "4 of the top 5 trials are at the lower end"),
        ([256, 128, 256, 128, 64] * 3, None),
    ],
)
def test_choices_of_numbers_are_never_more_than_a_note(settings: list[int], words: str | None) -> None:
    tables = one_parameter("training.batch_size", CategoricalDistribution([64, 128, 256]), settings)
    check = at(tables, "boundary:training.batch_size")
    assert (check is None) if words is None else (check is not None and words in check.finding)
    assert check is None or check.severity == "note"


def test_a_range_of_few_whole_numbers_is_treated_like_choices() -> None:
    check = at(
        one_parameter("schedule.step_size", IntDistribution(3, 6), [6] * 5 + [3, 4, 5] * 5),
        "boundary:schedule.step_size",
    )
    assert check is not None and check.severity == "note" and "may be chance" in check.finding
    alone = one_parameter("schedule.step_size", IntDistribution(3, 6), [6, 4, 5, 4] + [3, 4, 5] * 5)
    assert at(alone, "boundary:schedule.step_size") is None


def test_switches_and_words_are_no_ranges() -> None:
    for choices in ([False, True], ["a", "b"], [1, "a"]):
        tables = one_parameter("x.on", CategoricalDistribution(choices), [choices[1]] * 5 + [choices[0]] * 10)
        assert not [check for check in checks(tables) if check.id.startswith("boundary")]


def test_trials_cut_early_diverged_or_failed_do_not_count() -> None:
    made = study()
    for i, place in enumerate(MIDDLE + MIDDLE):
        add(made, 0.8 - 0.01 * i, {"optimizer.lr": lr(place)}, {"optimizer.lr": LR}, outcome="finished")
    for i in range(6):
        params = {"optimizer.lr": lr(0.99 - 0.001 * i)}
        add(made, 0.95, params, {"optimizer.lr": LR}, TrialState.PRUNED, best_value=0.95)
        add(made, 0.95, params, {"optimizer.lr": LR}, outcome="diverged")
        add(made, None, params, {"optimizer.lr": LR}, TrialState.FAIL, best_value=0.95)
    assert at(load_tables(made), "boundary:optimizer.lr") is None
    assert at(load_tables(made), "boundary") is not None


def test_what_the_baseline_arm_holds_at_its_null_is_no_choice_of_the_search() -> None:
    made = study(regularizers={"model.dropout": 0.0})
    span = FloatDistribution(0.0, 0.6)
    for i in range(5):
        add(made, 0.9 + 0.001 * i, {"model.dropout": 0.0}, {"model.dropout": span}, arm="baseline")
    for i, place in enumerate(MIDDLE + MIDDLE):
        add(made, 0.8 - 0.01 * i, {"model.dropout": 0.6 * place}, {"model.dropout": span}, arm="search")
    assert at(load_tables(made), "boundary:model.dropout") is None


def test_a_parameter_that_is_absent_from_most_trials_is_judged_by_those_that_have_it() -> None:
    made = study()
    for i in range(20):
        add(made, 0.9 - 0.001 * i)
    for i, place in enumerate([0.99, 0.98, 0.97, 0.5, *MIDDLE]):
        add(made, 0.5 - 0.01 * i, {"schedule.step.x": lr(place)}, {"schedule.step.x": LR})
    check = at(load_tables(made), "boundary:schedule.step.x")
    assert check is not None and check.severity == "act"


def random_search(seed: int, optimum: float, trials: int = 40) -> Tables:
    """Accuracy falls with the square of the distance from the optimum; a second parameter does nothing."""
    rng = np.random.default_rng(seed)
    places, idle = rng.uniform(size=trials), rng.uniform(size=trials)
    values = 0.9 - 0.3 * (places - optimum) ** 2 + rng.normal(0, 0.005, trials)
    made = study()
    for place, nothing, value in zip(places, idle, values, strict=True):
        add(made, float(value), {"optimizer.lr": lr(place), "x": float(nothing)}, {"optimizer.lr": LR, "x": UNIT})
    return load_tables(made)


def severities(optimum: float, name: str) -> list[str]:
    found = [at(random_search(seed, optimum), f"boundary:{name}") for seed in range(20)]
    return [check.severity for check in found if check]


def test_an_optimum_in_the_middle_is_not_called_at_the_edge() -> None:
    assert severities(0.5, "optimizer.lr") == []


@pytest.mark.parametrize("optimum", [-0.2, 1.2])
def test_an_optimum_beyond_the_edge_is_called_so(optimum: float) -> None:
    assert severities(optimum, "optimizer.lr").count("act") >= 16


def test_a_parameter_that_does_nothing_is_hardly_ever_to_be_acted_on() -> None:
    found = severities(0.5, "x")
    assert found.count("act") <= 1 and found.count("note") <= 8


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_density(direction: str) -> None:
    sign = 1 if direction == "maximize" else -1
    even, lone = study(direction), study(direction)
    for i in range(20):
        add(even, sign * 0.01 * i)
        add(lone, sign * (0.5 if i == 19 else 0.01 * i))
    company, alone = at(load_tables(even), "density"), at(load_tables(lone), "density")
    assert company is not None and company.severity == "fine" and not company.advice
    assert alone is not None and alone.severity == "note" and "is an outlier" in alone.finding
    assert ("below" if sign == 1 else "above") in alone.finding


def test_density_with_hardly_any_spread_and_with_too_few_trials() -> None:
    same, lone, few = study(), study(), study()
    for i in range(12):
        add(same, 0.5)
        add(lone, 0.6 if i == 5 else 0.5)
        if i < 9:
            add(few, 0.1 * i)
    found = [at(load_tables(made), "density") for made in (same, lone, few)]
    assert [check and check.severity for check in found] == ["fine", "note", None]


def infeasible(diverged: Callable[[float], bool], n: int = 30, memory: int = 0) -> Tables:
    rng = np.random.default_rng(0)
    made = study()
    for i in range(n):
        place, idle = float(rng.uniform()), float(rng.uniform())
        params, spans = {"optimizer.lr": lr(place), "x": idle}, {"optimizer.lr": LR, "x": UNIT}
        if i < memory:
            reason = "out of memory (CUDA out of memory)"
            add(made, None, params, spans, TrialState.FAIL, ticket=i, reason=reason, fault="error")
        elif diverged(place):
            add(made, 0.1, params, spans, outcome="diverged", ticket=i)
        else:
            add(made, 0.8, params, spans, outcome="finished", ticket=i, reason="all planned epochs were run")
    return load_tables(made)


def test_infeasible_trials_are_counted_and_placed() -> None:
    tables = infeasible(lambda place: place > 0.6)
    check = at(tables, "infeasible")
    assert check is not None and check.severity == "act"
    good = tables.trials.loc[tables.trials["outcome"] != "diverged", "param:optimizer.lr"].max()
    assert f"all of them, and no others, are above optimizer.lr = {good:.3g}" in check.finding
    assert check.advice == "Shrink the range of `optimizer.lr` at its upper end."
    low = at(infeasible(lambda place: place < 0.4), "infeasible")
    assert low is not None and "below optimizer.lr" in low.finding and "lower end" in low.advice


def test_infeasible_trials_that_lie_anywhere_are_not_placed() -> None:
    odd = iter(range(100))
    check = at(infeasible(lambda _: next(odd) % 3 == 0), "infeasible")
    assert check is not None and check.severity == "act" and "of them" not in check.finding
    assert check.advice == "Shrink the ranges."


def test_few_infeasible_trials_are_fine_and_memory_counts() -> None:
    few = at(infeasible(lambda place: place > 0.95), "infeasible")
    assert few is not None and few.severity == "fine"
    memory = at(infeasible(lambda _: False, memory=10), "infeasible")
    assert memory is not None and memory.severity == "act" and "10 ran out of memory" in memory.finding
    assert "training.batch_size" in memory.advice


def test_a_quarter_is_not_too_much_and_a_repeated_attempt_counts_once() -> None:
    made = study()
    for i in range(4):
        if i == 0:
            for _ in range(3):
                add(made, None, state=TrialState.FAIL, ticket=i, reason="out of memory (x)", fault="error")
        else:
            add(made, 0.5, ticket=i)
    check = at(load_tables(made), "infeasible")
    assert check is not None and check.severity == "fine" and "1 of 4 trials (25.0 %)" in check.finding


def test_underfit_and_excluded() -> None:
    made = study(metric="val_accuracy")
    record = ["epoch", "train_loss", "train_accuracy", "clean_train_loss", "clean_train_accuracy"]
    record += ["val_loss", "val_accuracy", "lr", "gradient_norm", "seconds"]

    def trial(arm: str, clean: float, val: float) -> None:
        kept = {"columns": record, "rows": [[1, 0.1, clean, 0.1, clean, 0.5, val, 1e-3, 1.0, 1.0]]}
        add(made, val, arm=arm, outcome="finished", epochs=kept, best_epoch=1)

    for _ in range(3):
        trial("baseline", 0.99, 0.80)
    for _ in range(9):
        trial("search", 0.85, 0.80)
    found = {check.id for check in checks(load_tables(made))}
    assert "few" in found and not found & {"underfit", "excluded", "density"}  # 9 trials
    trial("search", 0.85, 0.80)
    check, excluded = at(load_tables(made), "underfit"), at(load_tables(made), "excluded")
    assert check is not None and check.severity == "act" and "14.0 points" in check.finding
    assert "The gap was not closed" in check.finding
    assert excluded is not None and excluded.severity == "note" and "10 of 13" in excluded.finding
    for _ in range(17):
        trial("search", 0.97, 0.85)
    assert at(load_tables(made), "underfit") is None and at(load_tables(made), "excluded") is None  # 10 of 30


@pytest.mark.parametrize(
    ("pruned", "severity"), [(10, "act"), (9, "act"), (8, "fine"), (1, "fine"), (0, None)]
)  # fmt: skip
def test_pruned_share(pruned: int, severity: str | None) -> None:
    made = study()
    for i in range(10):
        add(made, 0.5, state=TrialState.PRUNED if i < pruned else TrialState.COMPLETE, arm="search")
    for _ in range(5):
        add(made, 0.5, arm="baseline")
    check, audit = at(load_tables(made), "pruned"), at(load_tables(made), "audit")
    assert (check and check.severity) == severity
    assert (audit and audit.severity) == ("note" if pruned else None)
    assert severity != "act" or (check is not None and "--pruner none" in check.advice)


def test_cuts_that_were_judged_are_not_called_unknown() -> None:
    made = study()
    add(made, 0.5, state=TrialState.PRUNED)
    add(made, 0.5, shadow={"epoch": 3, "reason": "behind"})
    assert at(load_tables(made), "audit") is None


@pytest.mark.parametrize(("baseline", "expected"), [(0, "note"), (2, "note"), (3, None)])
def test_baseline(baseline: int, expected: str | None) -> None:
    made = study()
    for _ in range(baseline):
        add(made, 0.5, arm="baseline")
    add(made, 0.5, arm="baseline", outcome="diverged")
    add(made, 0.5, arm="search")
    check = at(load_tables(made), "baseline")
    assert (check and check.severity) == expected


def lonely() -> optuna.Study:
    return make_study(1, baseline=1, prune=0)


def in_state(state: TrialState) -> Callable[[], optuna.Study]:
    def make() -> optuna.Study:
        made = study()
        for i in range(12):
            value = None if state == TrialState.FAIL else 0.5
            add(made, value, {"optimizer.lr": lr(i / 12)}, {"optimizer.lr": LR}, state)
        return made

    return make


def plain(direction: str) -> Callable[[], optuna.Study]:
    def make() -> optuna.Study:
        made = optuna.create_study(direction=direction, sampler=optuna.samplers.RandomSampler(seed=0))
        made.optimize(lambda trial: (trial.suggest_float("x", 1e-3, 1, log=True) - 0.1) ** 2, n_trials=15)
        return made

    return make


def by_loss() -> optuna.Study:
    made = optuna.create_study(direction="minimize")
    source = make_study(30)
    for key, value in source.user_attrs.items():
        made.set_user_attr(key, "val_loss" if key == attributes.METRIC else value)
    for trial in source.trials:
        trial.values = None if trial.values is None else [1 - trial.values[0]]
        made.add_trial(trial)
    return made


STUDIES: dict[str, tuple[Callable[[], optuna.Study], set[str]]] = {
    "empty": (optuna.create_study, set()),
    "running": (in_state(TrialState.RUNNING), set()),
    "single": (lonely, {"baseline", "budget", "infeasible"}),
    "all pruned": (in_state(TrialState.PRUNED), {"pruned", "audit", "infeasible"}),
    "all failed": (in_state(TrialState.FAIL), {"infeasible"}),
    "plain": (plain("maximize"), {"boundary:x", "density", "infeasible"}),
    "plain, minimized": (plain("minimize"), {"density", "infeasible"}),
    "by loss": (by_loss, {"budget", "density", "infeasible", "pruned"}),
    "all at odds": (lambda: make_study(20, baseline=2, diverged=6, failed=6, underfit=6), {"baseline", "infeasible"}),
}


@pytest.mark.parametrize("name", STUDIES)
def test_every_check_works_on_any_study(name: str) -> None:
    make, least = STUDIES[name]
    found = checks(load_tables(make()))
    ids = [check.id for check in found]
    assert least <= set(ids) and len(set(ids)) == len(ids)
    assert bool(ids) == bool(least)
    assert [check.severity for check in found] == sorted((c.severity for c in found), key=SEVERITIES.index)
    for check in found:
        assert (check.advice == "") == (check.severity == "fine"), check
        assert check.finding.endswith(".") and "nan" not in check.finding + check.advice, check


def test_the_whole_on_a_study_of_known_truth_agrees_each_time() -> None:
    first, again = (checks(load_tables(make_study(50))) for _ in range(2))
    assert first == again and {check.severity for check in first} == set(SEVERITIES)


def accuracies(values: Sequence[float], images: Any = 400, metric: str = "val_accuracy") -> Tables:
    made = study(metric=metric, data={"validation": images, "split_hash": "ab", "split_seed": 0})
    for value in values:
        add(made, float(value))
    return load_tables(made)


def test_the_winners_curse_is_that_of_a_simulation_with_known_truth() -> None:
    """Normal truth, binomial measurement: the estimate, averaged over studies, is the overstatement that occurred."""
    rng = np.random.default_rng(1)
    real, estimated = [], []
    for _ in range(40):
        true = rng.normal(0.8, 0.02, 40)
        seen = rng.binomial(400, true) / 400
        real.append(seen.max() - true[seen.argmax()])
        found = winners_curse(accuracies(seen))
        assert found is not None and found.trials == 40
        estimated.append(found.overstatement)
    assert np.mean(estimated) == pytest.approx(np.mean(real), abs=3 * np.std(real) / math.sqrt(40))
    assert 0.01 < np.mean(estimated) < 0.04


def test_the_winners_curse_shrinks_with_images_and_never_exceeds_what_the_spread_allows() -> None:
    values = 0.8 + 0.005 * np.random.default_rng(0).standard_normal(30)
    found = [winners_curse(accuracies(values, images)) for images in (20, 100, 10_000, 1_000_000)]
    sizes = [curse.overstatement for curse in found if curse]
    assert len(sizes) == 4 and sizes[0] == pytest.approx(sizes[1]) and sizes[1] > sizes[2] > sizes[3]
    assert sizes[0] < 3 * values.std(ddof=1) and sizes[3] < 0.001
    same = winners_curse(accuracies([0.8] * 12))
    assert same is not None and same.overstatement == pytest.approx(0, abs=1e-12)


def test_the_winners_curse_of_normal_values_has_a_closed_form() -> None:
    """Noise variance over the observed spread, times the expected maximum of 30 normals."""
    values = 0.8 + 0.005 * np.random.default_rng(0).standard_normal(30)
    found, spread = winners_curse(accuracies(values, 15_000)), float(values.std(ddof=1))
    assert found is not None and 0.4 < found.standard_error / spread < 0.9
    assert found.overstatement == pytest.approx(2.0428 * found.standard_error**2 / spread, rel=0.05)


def test_the_winners_curse_in_words() -> None:
    words = winners_curse_sentence(WinnersCurse(0.0123, 0.0204, 40))
    assert "best of 40 trials" in words and "1.2 points" in words and "2.0 points" in words and "seed" in words


@pytest.mark.parametrize(
    "tables",
    [
        accuracies([0.8] * 9),
        accuracies([0.7, 0.8] * 9, None),
        accuracies([0.7, 0.8] * 9, 0),
        accuracies([0.7, 0.8] * 9, metric="val_loss"),
        accuracies([7.0, 8.0] * 9),
        load_tables(optuna.create_study()),
        load_tables(plain("maximize")()),
    ],
    ids=["few", "unknown", "none", "loss", "no accuracy", "empty", "plain"],
)
def test_no_winners_curse_where_it_cannot_be_told(tables: Tables) -> None:
    assert winners_curse(tables) is None
