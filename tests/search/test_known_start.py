"""What a search starts from: which earlier trials fit, where points to try have their slots, and what stays out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial

import regstudy as library
from regstudy.errors import StudyError
from regstudy.records import EpochRecord, dump_records
from regstudy.search.earlier_study import MOST_KNOWN, source_of
from regstudy.search.events import Event, Notice
from regstudy.search.known_start import KnownStart, StartRequest, known_start, source_words
from regstudy.search.sampler import InformedSampler, make_sampler
from regstudy.space.loader import space_from_tree
from regstudy.space.search_space import Space
from regstudy.study import attributes
from regstudy.study.place import StudyPlace
from regstudy.study.start import EarlierTrial, Source, Start, parse_start, stored_start
from regstudy.study.stored_facts import fact

TREE: dict[str, Any] = {
    "data": {"name": "digits", "train_limit": 60, "validation": 60},
    "model": {"name": "small_cnn", "dropout": {"low": 0.0, "high": 0.5}},
    "optimizer": {"name": "adamw", "lr": {"low": 1e-4, "high": 1e-2, "log": True}},
    "training": {"epochs": 1, "batch_size": 32},
}
PLACE = StudyPlace(Path("results/new"))
HASH = "0123456789abcdef"


def space(**sections: Any) -> Space:
    return space_from_tree({**TREE, **sections}, "s", "s")


def earlier(
    of: Space | None = None, trials: int = 20, metric: str = "val_accuracy", images: str = HASH
) -> optuna.Study:
    """A finished search whose value is the better, the lower the dropout."""
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0))
    study.set_user_attr(attributes.DATA, {"split_hash": images, "split_seed": 0})
    study.set_user_attr(attributes.METRIC, metric)
    plan = of or space()
    for slot in range(trials):
        trial = study.ask()
        config = plan.suggest(trial)
        trial.set_user_attr(attributes.ARM, plan.order(slot)[0])
        trial.set_user_attr(attributes.CONFIG, config.model_dump(mode="json"))
        study.tell(trial, 1 - trial.params["model.dropout"])
    return study


def start(study: optuna.Study, most: int = 5) -> tuple[Source, list[Any]]:
    return source_of(study, "results/old", space(), HASH, most)


@pytest.mark.parametrize(
    ("old", "same", "prior"),
    [
        ({}, 20, {}),
        ({"of": space(training={"epochs": 2, "batch_size": 32})}, 0, {"training.epochs": 20}),
        ({"of": space(model={"name": "dropout_cnn", "dropout": {"low": 0.0, "high": 0.5}})}, 0, {"model.name": 20}),
        ({"of": space(regularization={"l2": 0.1})}, 0, {"regularization.l2": 20}),
        ({"images": "f" * 16}, 0, {"images": 20}),
        ({"metric": "val_loss"}, 0, {"metric": 20}),
    ],
)
def test_only_trials_that_measure_the_same_reach_the_sampler(
    old: dict[str, Any], same: int, prior: dict[str, int]
) -> None:
    source, points = start(earlier(**old))
    assert (source.same, source.prior, len(source.known)) == (same, prior, same)
    assert len(points) == source.tried == 5  # a hint is worth a try, too


def test_points_outside_are_left_out_and_counted() -> None:
    wide = space(model={"name": "small_cnn", "dropout": {"low": 0.0, "high": 0.9}})
    study = earlier(wide)
    inside = sum(trial.params["model.dropout"] <= 0.5 for trial in study.trials)
    source, _ = start(study)
    assert source.same == inside
    assert source.left_out == {"model.dropout is outside the space": 20 - inside}
    assert f"{20 - inside} do not fit: model.dropout is outside the space ({20 - inside})." in source_words(source)


def test_no_overlap_at_all_is_an_error_with_the_reasons() -> None:
    far = space(optimizer={"name": "adamw", "lr": {"low": 1.0, "high": 2.0}})
    with pytest.raises(StudyError, match=r"none of its 20 finished trials fits the space: optimizer.lr is outside"):
        start(earlier(far))


def test_the_best_are_tried_again_but_no_baseline_and_nothing_that_diverged() -> None:
    study = earlier()
    ranked = sorted(study.trials, key=lambda trial: -(trial.value or 0))
    for trial in ranked[:2]:  # the study is in memory, so this is what is stored
        study._storage._get_trial(trial._trial_id).user_attrs[attributes.OUTCOME] = "diverged"  # type: ignore[attr-defined]
    usable = [trial for trial in ranked[2:] if trial.user_attrs[attributes.ARM] != "baseline"]
    assert start(study, 3)[1] == [trial.params for trial in usable[:3]]


def test_of_many_trials_the_best_and_an_even_choice_are_kept() -> None:
    study = earlier(trials=MOST_KNOWN + 50)
    source, points = start(study)
    assert source.same == MOST_KNOWN + 50
    assert len(source.known) == MOST_KNOWN
    assert {json.dumps(point) for point in points} <= {json.dumps(trial.params) for trial in source.known}


def test_what_is_stored_is_read_again() -> None:
    source, points = start(earlier())
    kept = Start({1: points[0], 4: points[1]}, ("best.yaml",), (source,))
    study = optuna.create_study()
    study.set_user_attr(attributes.START, kept.plain())
    assert stored_start(study) == kept == parse_start(json.loads(json.dumps(kept.plain())))
    study.set_user_attr(attributes.START, {**kept.plain(), "tries": {"one": {}}})
    assert fact(study, attributes.START) is None
    assert stored_start(study) == Start()


def test_points_have_slots_of_the_search_and_are_added_once() -> None:
    points: list[dict[str, Any]] = [{"model.dropout": number / 10} for number in range(4)]
    study = optuna.create_study()
    known = KnownStart(tuple(points[:3]), ("a.yaml",))
    study.set_user_attr(attributes.START, known.added_to(study).plain())
    assert list(stored_start(study).tries) == [1, 2, 4]  # 0 and 3 are baselines
    assert known.added_to(study) == stored_start(study)
    for slot in range(6):
        study.enqueue_trial({}, user_attrs={attributes.SLOT: slot})
    assert list(KnownStart(tuple(points)).added_to(study).tries) == [1, 2, 4, 6]


def test_a_limit_on_the_gap_holds_for_earlier_trials_too(caplog: pytest.LogCaptureFixture) -> None:
    limited, study = space(study={"gap_at_most": 0.05}), earlier()
    for number, trial in enumerate(study.trials):  # the study is in memory, so this is what is stored
        record = EpochRecord(1, 0.0, 1.0, 0.0, 0.8 + number / 100, 0.0, 0.8, 0.1, 1.0, 1.0)
        facts = {attributes.EPOCHS: dump_records([record]), attributes.BEST_EPOCH: 1}
        study._storage._get_trial(trial._trial_id).user_attrs.update(facts)  # type: ignore[attr-defined]
    source, points = source_of(study, "results/old", limited, HASH, 20)
    assert [round(trial.gap or 0.0, 2) for trial in source.known] == [number / 100 for number in range(20)]
    assert [trial.params for trial in study.trials[:6] if trial.user_attrs[attributes.ARM] != "baseline"] == sorted(
        points, key=[trial.params for trial in study.trials].index
    )

    class Seeing(TPESampler):
        def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, Any]:
            seen.append([trial.constraints for trial in study.trials[:20]])
            return super().infer_relative_search_space(study, trial)

    seen: list[list[dict[str, float]]] = []
    sampler = InformedSampler(Seeing(seed=0), limited, source.known)
    study = optuna.create_study(sampler=sampler)
    caplog.clear()
    limited.suggest(study.ask())
    assert caplog.messages == []  # the copy that the sampler sees is no news to the user
    assert [one["gap"] <= 0 for one in seen[0]] == [number <= 5 for number in range(20)]


def test_points_to_try_first_leave_as_many_random_trials_as_a_cold_start() -> None:
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(12):
        trial = study.ask()
        space().suggest(trial)
        study.tell(trial, -trial.params["model.dropout"])

    def drawn(tries: int) -> dict[str, Any]:
        copy = optuna.create_study(direction="maximize")
        copy.add_trials(study.trials)
        points = {slot: {"model.dropout": 0.1} for slot in range(1, tries + 1)}
        copy.sampler = make_sampler(space(), 0, 0, 12, Start(points))
        space().suggest(trial := copy.ask())
        return trial.params

    assert drawn(5) == drawn(50) != drawn(0)  # of 12 trials, 5 tries leave 7 random ones, too few for a model


@pytest.mark.parametrize("known", [0, 30])
def test_the_sampler_sees_earlier_trials_and_the_study_does_not(known: int) -> None:
    good = [EarlierTrial({"model.dropout": 0.01 * n / 30, "optimizer.lr": 1e-3}, 0.9) for n in range(known // 3)]
    poor = [EarlierTrial({"model.dropout": 0.3 + 0.006 * n, "optimizer.lr": 1e-3}, 0.1) for n in range(known // 2)]
    source = Source("old", "old", "", True, known, known, {}, {}, 0, (*poor, *good))
    sampler = make_sampler(space(), 0, 0, 0, Start(sources=(source,)))
    assert isinstance(sampler, InformedSampler) == bool(known)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for _ in range(8):
        trial = study.ask()
        space().suggest(trial)
        study.tell(trial, 0.5)
    assert len(study.trials) == 8
    low = sum(trial.params["model.dropout"] < 0.25 for trial in study.trials)
    assert (low >= 7) == bool(known)


def test_a_search_starts_from_files_and_studies_once_and_says_so(tmp_path: Path) -> None:
    told: list[str] = []

    def listen(event: Event) -> None:
        if isinstance(event, Notice):
            told.append(str(event))

    point = {"model.dropout": 0.25, "optimizer.lr": 0.002}
    common: dict[str, Any] = {"results": tmp_path, "doctor": False, "confirm": 0, "progress": listen}
    library.run_study(space(), trials=3, name="old", try_first=[point], **common)
    new: dict[str, Any] = {"name": "new", "start_from": [tmp_path / "old"], "try_first": [point], **common}
    library.run_study(space(), trials=2, **new)
    result = library.run_study(space(), trials=3, **new)
    trials = result.tables.trials
    assert len(trials) == 3
    assert trials.loc[trials["slot"] == 1, "param:model.dropout"].tolist() == [0.25]
    assert any("3 finished trials. 3 measure what trials of this study do" in text for text in told)
    assert "has already started from" in told[-1] or any("has already started from" in text for text in told)
    page = result.report().read_text(encoding="utf-8")
    assert "no cold start" in page
    assert "3 trials of the study old on the same images" in page
    with pytest.raises(StudyError, match=r"--from .*old\. 3 of its 3 finished trials fit the new space"):
        library.run_study(space(training={"epochs": 1, "batch_size": 16}), trials=3, name="old", **common)


def test_points_enqueued_with_optuna_neither_stop_the_search_nor_take_what_is_to_be_tried(tmp_path: Path) -> None:
    common: dict[str, Any] = {"results": tmp_path, "doctor": False, "confirm": 0, "progress": lambda _: None}
    library.run_study(space(), trials=3, name="old", **common)
    new = library.run_study(space(), trials=3, name="new", start_from=[tmp_path / "old"], **common)
    new.study.enqueue_trial({"optimizer.lr": 0.02, "model.dropout": 0.123})  # the rate lies outside the range
    point = {"model.dropout": 0.25, "optimizer.lr": 0.002}
    library.run_study(space(), trials=3, name="new", try_first=[point], **common)  # nothing is left to run
    result = library.run_study(space(), trials=6, name="new", **common)
    drawn = result.tables.trials["param:model.dropout"].tolist()
    assert result.finished == 6 and {0.123, 0.25} <= set(drawn)


def test_nothing_is_written_by_a_look(tmp_path: Path) -> None:
    request = StartRequest(tries=[{"model.dropout": 0.1}])
    known = known_start(request, space(), PLACE, HASH, None, 1)
    assert known.points == ({"model.dropout": 0.1},)
    assert "does not say optimizer.lr: the sampler draws it." in known.notes[0]
    more = StartRequest(tries=[{"model.dropout": 0.1}, {"model.dropout": 0.2}, {"model.dropout": 0.2}])
    notes = " ".join(known_start(more, space(), PLACE, HASH, None, 2).notes)
    assert "2 configurations (1 equal to another one)" in notes
    assert "1 of 2 configurations fit in what is left of 2 search trials." in notes
    assert not list(tmp_path.iterdir())
