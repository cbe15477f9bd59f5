"""Plans: what each slot means, seeds in pairs, the way into a file and back, and the arms that are asked for."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState
from tiny import make_config, make_splits

from regstudy.errors import ConfigError, StudyError
from regstudy.search.create import check_place, create_study
from regstudy.search.pruner import make_pruner
from regstudy.search.queue import claim
from regstudy.space.arms import MAX_ARM_NAME_LENGTH, Variant, collapsed, load_arms, parse_variant, plan_of
from regstudy.space.fixed_plan import FixedPlan, Task, make_plan, parse_plan
from regstudy.space.loader import read_yaml_text, yaml_text
from regstudy.space.parsing import parse_space
from regstudy.space.plan import Slot
from regstudy.space.seeds import repeat_seed, split_seed, training_seed
from regstudy.space.study_section import StudySection
from regstudy.study import attributes
from regstudy.study.place import StudyPlace, kind_of
from regstudy.study.storage import open_named, open_storage, sqlite_url

STUDY = StudySection(metric="val_accuracy", seed=3)
PLAN = make_plan("p", {"a": make_config(), "b": make_config({"model.dropout": 0.5})}, STUDY, "x")


def tasks(plan: FixedPlan, slots: int) -> list[Task]:
    return [plan.task(slot) for slot in range(slots)]


def test_slots_go_through_the_arms_repeat_by_repeat() -> None:
    found = [(task.arm, task.repeat) for task in tasks(PLAN, PLAN.slots(3))]
    assert found == [("a", 1), ("b", 1), ("a", 2), ("b", 2), ("a", 3), ("b", 3)]


@given(arms=st.integers(1, 6), slots=st.integers(1, 60))
@settings(max_examples=30)
def test_an_interrupted_plan_is_balanced_to_within_one_run(arms: int, slots: int) -> None:
    plan = FixedPlan("p", {str(number): PLAN.arms["a"] for number in range(arms)}, STUDY)
    counts = [[task.arm for task in tasks(plan, slots)].count(name) for name in plan.arms]
    assert max(counts) - min(counts) <= 1
    assert sum(counts) == slots


def test_a_repeat_has_the_same_seed_in_every_arm_and_no_two_repeats_have_the_same() -> None:
    found = tasks(PLAN, 400)
    assert all(one.seed == other.seed for one, other in zip(found[::2], found[1::2], strict=True))
    assert len({task.seed for task in found}) == 200
    assert found[0].seed == repeat_seed(3, 1)
    assert repeat_seed(3, 1) != repeat_seed(4, 1)
    assert not {task.seed for task in found} & {training_seed(3, slot) for slot in range(1000)}


def test_the_configuration_of_a_slot_is_its_arm_with_the_seed_of_the_repeat() -> None:
    study = optuna.create_study()
    for slot in range(6):
        study.enqueue_trial(PLAN.order(slot)[1])
    for slot in range(6):
        trial, task = study.ask(), PLAN.task(slot)
        config = PLAN.configure(
            trial, Slot(slot, task.arm, 4 if slot < 4 else 6)
        )  # more repeats were asked for in between
        assert config == PLAN.arms[task.arm].replaced({"training.seed": task.seed})
        assert trial.params == {"arm": task.arm, "repeat": task.repeat}


def test_a_failed_slot_comes_back_as_the_same_arm_and_repeat(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "study.db")
    study = optuna.create_study(storage=open_storage(url), study_name="s")
    study.set_user_attr(attributes.TRIALS, 4)
    opened = open_named(url, "s")
    taken = [trial for _ in range(4) if (trial := claim(opened, PLAN)) is not None]
    slots = [(trial.user_attrs[attributes.SLOT], trial.user_attrs[attributes.ARM]) for trial in taken]
    assert slots == [(0, "a"), (1, "b"), (2, "a"), (3, "b")]
    opened.study.tell(taken[1], state=TrialState.FAIL)
    again = claim(opened, PLAN)
    assert again is not None and again.user_attrs[attributes.SLOT] == 1
    assert PLAN.configure(again, Slot(1, "b", 4)) == PLAN.arms["b"].replaced({"training.seed": repeat_seed(3, 1)})


def test_a_plan_is_never_pruned_whatever_its_arms_are_called() -> None:
    plan = FixedPlan("p", {"baseline": PLAN.arms["a"], "search": PLAN.arms["b"]}, STUDY)
    assert isinstance(make_pruner(plan), optuna.pruners.NopPruner)
    assert plan.order(0) == ("baseline", {"arm": "baseline", "repeat": 1})
    assert plan.order(3) == ("search", {"arm": "search", "repeat": 2})


LABEL = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=12)


ODD = ["1", "0.5", "yes", "null", "a: b", "- x", "1e-4", "~", "#", "'", "{", "a\\"]


@given(labels=st.lists(LABEL | st.sampled_from(ODD), min_size=1, max_size=12, unique=True))
@settings(max_examples=5)  # YAML is slow
def test_a_plan_survives_its_way_into_a_file(labels: list[str]) -> None:
    config = make_config({"optimizer.lr": 1e-5})
    plan = make_plan("p", dict.fromkeys(labels, config), STUDY, "x")
    again = parse_plan(read_yaml_text(yaml_text(plan.plain()), "x"), "p", "x")
    assert again == plan
    assert list(again.arms) == labels
    assert again.fingerprint == plan.fingerprint


@pytest.mark.parametrize(
    "other",
    [
        make_plan("p", dict(reversed(PLAN.arms.items())), STUDY, "x"),
        make_plan("p", {"a": PLAN.arms["a"]}, STUDY, "x"),
        make_plan("p", {"a": PLAN.arms["a"], "c": PLAN.arms["b"]}, STUDY, "x"),
        make_plan("p", {**PLAN.arms, "b": make_config({"model.dropout": 0.4})}, STUDY, "x"),
        make_plan("p", PLAN.arms, StudySection(metric="val_accuracy", seed=4), "x"),
        make_plan("p", PLAN.arms, StudySection(metric="val_loss", seed=3), "x"),
    ],
)
def test_the_fingerprint_differs_whenever_a_run_would(other: FixedPlan) -> None:
    assert other.fingerprint != PLAN.fingerprint


def test_a_seed_that_a_configuration_brings_along_does_not_count() -> None:
    brought = {name: config.replaced({"training.seed": 7}) for name, config in PLAN.arms.items()}
    assert make_plan("p", brought, STUDY, "x").fingerprint == PLAN.fingerprint


def test_arms_must_see_the_same_images() -> None:
    other = make_config({"data.train_limit": 50})
    with pytest.raises(ConfigError, match=r"data section of 'b' differs.*data\.train_limit: None → 50"):
        make_plan("p", {"a": make_config(), "b": other}, STUDY, "x")
    make_plan("p", {"a": make_config(), "b": make_config({"preprocessing.normalize": "none"})}, STUDY, "x")


def test_a_phase_must_not_bring_a_seed_of_its_own() -> None:
    phases = [{"training": {"epochs": 1}}, {"training": {"seed": 1}}]
    with pytest.raises(ConfigError, match=r"b: phase 2: training\.seed"):
        make_plan("p", {"a": make_config(), "b": make_config({"phases": phases})}, STUDY, "x")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda raw: raw.pop("arms"), "arms: must be a mapping"),
        (lambda raw: raw["order"].pop(), "with their order"),
        (lambda raw: raw["arms"]["b"]["model"].update(dropuot=1), "b: model.dropuot: there is no key"),
    ],
)
def test_a_stored_plan_that_is_damaged_is_told(change: object, words: str) -> None:
    raw = PLAN.plain()
    change(raw)  # type: ignore[operator]
    with pytest.raises(ConfigError, match=words):
        parse_plan(raw, "p", "x")


def test_a_place_knows_what_it_holds(tmp_path: Path) -> None:
    place, splits = StudyPlace(tmp_path / "s"), make_splits()
    assert check_place(place, PLAN) is None
    assert kind_of(create_study(place, PLAN, splits)) == "comparison"
    assert check_place(place, PLAN) is not None
    stronger = make_plan("p", {**PLAN.arms, "b": make_config({"model.dropout": 0.6})}, STUDY, "x")
    with pytest.raises(StudyError, match=r"a different comparison \(arms\.b\.model\.dropout: 0\.5 → 0\.6\)"):
        check_place(place, stronger)
    with pytest.raises(StudyError, match="holds a comparison, not a search"):
        check_place(place, SPACE)
    create_study(StudyPlace(tmp_path / "t"), SPACE, splits)
    with pytest.raises(StudyError, match="holds a search, not a comparison"):
        check_place(StudyPlace(tmp_path / "t"), PLAN)


SPACE = parse_space({"data": {"name": "digits"}, "model": {"name": "x", "dropout": {"low": 0.0, "high": 0.5}}}, "x", "")


def test_a_creation_of_the_other_kind_that_was_cut_short_leaves_nothing_behind(tmp_path: Path) -> None:
    place, splits = StudyPlace(tmp_path / "s"), make_splits()
    place.folder.mkdir()
    cut_short = optuna.create_study(study_name="s", storage=open_storage(place.url), direction="maximize")
    cut_short.set_user_attr(attributes.PLAN, "arms: {}")
    made = create_study(place, SPACE, splits)
    assert kind_of(made) == "search"
    assert check_place(place, SPACE) is not None


def test_a_field_that_a_later_version_added_is_no_difference(tmp_path: Path) -> None:
    place, splits = StudyPlace(tmp_path / "s"), make_splits()
    study = create_study(place, PLAN, splits)
    raw = read_yaml_text(study.user_attrs[attributes.PLAN], "x")
    del raw["arms"]["a"]["regularization"]["l1"]
    study.set_user_attr(attributes.PLAN, yaml_text(raw))
    study.set_user_attr(attributes.FINGERPRINT, "of an earlier version")
    assert check_place(place, PLAN) is not None


@pytest.mark.parametrize(
    ("text", "label", "changes"),
    [
        ("defaults", "defaults", ()),
        ("a: model.dropout=0.5", "a", ("model.dropout=0.5",)),
        (" two  words : a.b=1,c.d=2 ", "two words", ("a.b=1", "c.d=2")),
        ("s: schedule={name: step, gamma: 1}, a.b=[1, 2]", "s", ("schedule={name: step, gamma: 1}", "a.b=[1, 2]")),
        ("q: a.b='x, y', c=\"1, 2\"", "q", ("a.b='x, y'", 'c="1, 2"')),
        ("model.dropout=0.5", "model.dropout=0.5", ("model.dropout=0.5",)),
        ("optimizer={name: sgd}", "optimizer={name: sgd}", ("optimizer={name: sgd}",)),
    ],
)
def test_what_an_arm_option_says(text: str, label: str, changes: tuple[str, ...]) -> None:
    assert parse_variant(text) == Variant(label, changes)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "needs a name"),
        (": a.b=1", "needs a name"),
        ("x" * (MAX_ARM_NAME_LENGTH + 1), "needs a name"),
        ("a:", "nothing follows the colon"),
        ("a: dropout", "'dropout' is not of the form path=value"),
        ("a: b..c=1", "'b..c=1' is not of the form"),
    ],
)
def test_an_arm_option_that_says_nothing_is_told(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse_variant(text)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    (tmp_path / "one.yaml").write_text(
        "data: {name: digits}\nmodel: {name: x, dropout: {low: 0.1, high: 0.5, default: 0.2}}\nstudy: {seed: 5}\n"
    )
    (tmp_path / "two.yaml").write_text("data: {name: digits}\nmodel: {name: y}\nstudy: {seed: 5}\n")
    return [tmp_path / "one.yaml", tmp_path / "two.yaml"]


def test_arms_are_called_by_file_by_variant_or_by_both(files: list[Path]) -> None:
    variants = [Variant("off", ("model.dropout=0.0",)), Variant("as it is")]
    assert list(load_arms(files, [])) == ["one", "two"]
    assert list(load_arms(files[:1], variants)) == ["off", "as it is"]
    both = load_arms(files, variants)
    assert list(both) == ["one / off", "one / as it is", "two / off", "two / as it is"]
    plan = plan_of("p", both)
    assert [config.model.dropout for config in plan.arms.values()] == [0.0, 0.2, 0.0, 0.0]
    assert plan.data.split_seed == split_seed(5)
    assert collapsed(both) == ["model.dropout 0.2"]


def test_what_export_writes_is_an_arm_and_its_split_holds_for_all(files: list[Path], tmp_path: Path) -> None:
    exported = make_config({"data.split_seed": 99, "training.seed": 4, "training.metric": "val_loss"})
    (tmp_path / "best.yaml").write_text(yaml_text(exported.model_dump(mode="json")))
    with pytest.raises(ConfigError, match=r"same study\.metric, but it is val_accuracy in 'one'"):
        plan_of("p", load_arms([files[0], tmp_path / "best.yaml"], [], ["study.seed=0"]))
    sets = ["study.seed=5", "study.metric=val_loss"]
    plan = plan_of("p", load_arms([files[0], tmp_path / "best.yaml"], [], sets))
    assert {config.data.split_seed for config in plan.arms.values()} == {99}
    assert {config.training.seed for config in plan.arms.values()} == {0}


def test_seeds_of_studies_that_differ_are_told(files: list[Path]) -> None:
    files[1].write_text("data: {name: digits}\nmodel: {name: y}\n")
    with pytest.raises(ConfigError, match=r"same study\.seed, but it is 5 in 'one' and 0 in 'two'.*--set study.seed=5"):
        plan_of("p", load_arms(files, []))
