"""Studies of plain Optuna, broken databases and files that are none, for every command that opens a study."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
from misuse.misuse_case import PLAIN, Misuse
from optuna.storages import RDBStorage
from optuna.trial import TrialState, create_trial

from regstudy.config.run_config import parse_config
from regstudy.study import attributes
from regstudy.study.companion import began
from regstudy.study.owner import this_process

STUDIES = Path(__file__).parents[1] / "fixtures" / "studies"
COMMANDS: dict[str, tuple[str, ...]] = {
    "report": ("report", "x"),
    "export": ("export", "x", "-o", "best.yaml"),
    "doctor": ("doctor", "x", "--preflight"),
}
RESUMING: dict[str, tuple[str, ...]] = {
    "study": ("study", "--space", "s.yaml", "--results", ".", "--study", "x", "--trials", "1", "--no-doctor"),
    "confirm": ("confirm", "x", "--dry-run"),
    "ablate": ("ablate", "x", "--dry-run"),
    "compare": ("compare", "c.yaml", "--results", ".", "--study", "x", "--repeats", "1"),
}


def database(folder: Path) -> Path:
    (folder / "x").mkdir()
    return folder / "x" / "study.db"


def written(content: bytes) -> Callable[[Path], None]:
    return lambda folder: database(folder).write_bytes(content) and None


def sql(statements: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        connection = sqlite3.connect(database(folder))
        connection.executescript(statements)
        connection.close()

    return make


def plain(fill: Callable[[optuna.Study], object], *names: str, directions: int = 1) -> Callable[[Path], None]:
    """A database of Optuna with studies of these names, filled by a function."""

    def make(folder: Path) -> None:
        storage = RDBStorage(f"sqlite:///{database(folder)}")
        for name in names or ("x",):
            fill(optuna.create_study(storage=storage, study_name=name, directions=["maximize"] * directions))
        storage.engine.dispose()

    return make


def of_choices(*choices: object) -> Callable[[optuna.Study], None]:
    def fill(study: optuna.Study) -> None:
        distribution = optuna.distributions.CategoricalDistribution(choices)  # type: ignore[arg-type]
        for choice in choices:
            study.add_trial(create_trial(value=0.5, params={"p": choice}, distributions={"p": distribution}))

    return fill


def some_trials(study: optuna.Study) -> None:
    for value in (0.1, 0.5, 0.3):
        space = {"lr": optuna.distributions.FloatDistribution(0, 1)}
        study.add_trial(create_trial(value=value, params={"lr": value}, distributions=space))


def unfinished(study: optuna.Study) -> None:
    study.ask()
    study.add_trial(create_trial(state=TrialState.FAIL))
    study.enqueue_trial({"a": 1})


def of_two_objectives(study: optuna.Study) -> None:
    study.add_trial(create_trial(values=[0.1, 0.2]))


def infinite(study: optuna.Study) -> None:
    study.add_trial(create_trial(value=float("inf")))
    study.add_trial(create_trial(value=0.5, intermediate_values={1: float("nan")}))


def changed(statement: str, name: str = "search") -> Callable[[Path], None]:
    """A study of regstudy's own after a change of its database."""

    def make(folder: Path) -> None:
        shutil.copytree(STUDIES / name, folder / "x")
        connection = sqlite3.connect(folder / "x" / "study.db")
        connection.executescript(statement)
        connection.close()

    return make


def truncated(folder: Path) -> None:
    shutil.copytree(STUDIES / "search", folder / "x")
    path = folder / "x" / "study.db"
    path.write_bytes(path.read_bytes()[:9000])


KINDS: dict[str, Callable[[Path], None]] = {
    "an empty folder": lambda folder: (folder / "x").mkdir(),
    "a file": lambda folder: (folder / "x").write_text("hello") and None,
    "a database that is a folder": lambda folder: (folder / "x" / "study.db").mkdir(parents=True),
    "an empty file": written(b""),
    "text": written(b"hello, this is no database\n" * 100),
    "zeros": written(bytes(10_000)),
    "another program's database": sql("CREATE TABLE photos (name TEXT); INSERT INTO photos VALUES ('a');"),
    "a database without tables": sql("VACUUM;"),
    "a truncated database": truncated,
    "Optuna's without studies": plain(lambda study: optuna.delete_study(study_name="x", storage=study._storage)),
    "a plain study": plain(some_trials),
    "a plain study without trials": plain(lambda _study: None),
    "a plain study of another name": plain(some_trials, "other"),
    "two plain studies": plain(some_trials, "a", "b"),
    "two objectives": plain(of_two_objectives, directions=2),
    "unfinished trials": plain(unfinished),
    "infinite values": plain(infinite),
    "choices that are None and numbers": plain(of_choices(None, 1, "1")),
    "a newer schema": changed("UPDATE version_info SET schema_version = 99;"),
    "an unknown revision": changed("UPDATE alembic_version SET version_num = 'v99';"),
    "attributes that are no JSON": changed("UPDATE study_user_attributes SET value_json = '{broken';"),
    "attributes of another type": changed("UPDATE study_user_attributes SET value_json = '[1, 2]';"),
    "trials' attributes of another type": changed("UPDATE trial_user_attributes SET value_json = '7';"),
    "no attributes": changed("DELETE FROM study_user_attributes; DELETE FROM trial_user_attributes;"),
    "no values": changed("DELETE FROM trial_values;"),
    "no reports": changed("DELETE FROM trial_intermediate_values;"),
    "no dates": changed("UPDATE trials SET datetime_start = NULL, datetime_complete = NULL;"),
    "no trials table": changed("DROP TABLE trials;"),
}
SERVED_NEVER = (
    "an empty folder",
    "a file",
    "a database that is a folder",
    "an empty file",
    "text",
    "another program's database",
    "a database without tables",
    "a truncated database",
    "Optuna's without studies",
    "no trials table",
)


def of_search(change: Callable[[optuna.Study, Path], object], name: str = "search") -> Callable[[Path], None]:
    """A study of an earlier version after a change through Optuna, in a folder of its name, and its space."""

    def make(folder: Path) -> None:
        shutil.copytree(STUDIES / name, folder / name)
        shutil.copy(STUDIES / "digits.yaml", folder)
        url = f"sqlite:///{folder / name / 'study.db'}"
        storage = RDBStorage(url)
        change(optuna.load_study(storage=storage, study_name=name), folder / name)
        storage.engine.dispose()

    return make


def under_way(study: optuna.Study, _folder: Path) -> None:
    study.ask().set_user_attr(attributes.OWNER, this_process())


def other_images(study: optuna.Study, _folder: Path) -> None:
    study.set_user_attr(attributes.DATA, {**study.user_attrs[attributes.DATA], "split_hash": "0" * 16})


def confirmed(study: optuna.Study, _folder: Path, since: str = "", delete: bool = False) -> None:
    """With nine planned confirmation runs, of this study or of one that began at another time."""
    race = {"runs": 9, "baseline": 0, "since": since or began(study), "sizes": [2, 1, 1, 1], "center": 0.5, "round": 1}
    planned = [[number, round_] for number in (-1, 1, 2) for round_ in (1, 2, 3)]
    name = f"{study.study_name}/confirmation"
    runs = optuna.create_study(storage=study._storage, study_name=name, direction="maximize")
    runs.set_user_attr(attributes.RACE, {**race, "leaders": [1, 2], "planned": planned})
    runs.add_trial(create_trial(value=0.5))
    if delete:
        optuna.delete_study(storage=study._storage, study_name=study.study_name)


def stale(study: optuna.Study, folder: Path) -> None:
    confirmed(study, folder, "2020-01-01")


def orphaned(study: optuna.Study, folder: Path) -> None:
    confirmed(study, folder, delete=True)


def file_in_the_way(_study: optuna.Study, folder: Path) -> None:
    (folder / "confirmation").write_text("mine")


CONFIRM = ("confirm", "search")
AGAIN = ("study", "--space", "digits.yaml", "--study", "search", "--no-doctor", "--trials", "40", "--confirm", "0.3")
CONFIRMING: dict[str, tuple[tuple[str, ...], Callable[[Path], None], str]] = {
    "a comparison": (("confirm", "comparison"), of_search(lambda *_: None, "comparison"), "is a comparison"),
    "a study under way": (CONFIRM, of_search(under_way), "is still running: 1 trial of its search is under way"),
    "other images": (CONFIRM, of_search(other_images), "are not those of the study (split 0000000000000000)"),
    "a study of its runs": (
        (*CONFIRM, "--study", "search/confirmation"), of_search(confirmed), "search",
    ),
    "fewer runs than there are": ((*CONFIRM, "--runs", "8"), of_search(confirmed), "already has 9 confirmation runs"),
    "runs of a deleted study": (CONFIRM, of_search(stale), "optuna delete-study --study-name search/confirmation"),
    "runs whose study is gone": (CONFIRM, of_search(orphaned), "There is no study in search"),
    "runs of a study that was deleted, in its place": (
        (*AGAIN, "--results", "."), of_search(orphaned), "still holds confirmation runs, as the study",
    ),
    "runs of a study that was replaced": (
        (*AGAIN, "--results", "."), of_search(stale), "still holds confirmation runs",
    ),
    "a file in the way": (CONFIRM, of_search(file_in_the_way), "confirmation is a file"),
    "a file in the way of a study": ((*AGAIN, "--results", "."), of_search(file_in_the_way), "confirmation is a file"),
}  # fmt: skip


def confirming_under_way(study: optuna.Study, folder: Path) -> None:
    confirmed(study, folder)
    runs = optuna.load_study(storage=study._storage, study_name=f"{study.study_name}/confirmation")
    runs.ask().set_user_attr(attributes.OWNER, this_process())


def winner_has(on: dict[str, float]) -> Callable[[optuna.Study, Path], None]:
    """The best trial of the search has these regularizers."""

    def change(study: optuna.Study, _folder: Path) -> None:
        known = next(trial.user_attrs for trial in study.trials if attributes.CONFIG in trial.user_attrs)
        config = parse_config(known[attributes.CONFIG], "").without_regularizers().replaced(on)
        facts = {attributes.ARM: "search", attributes.OUTCOME: "finished", attributes.SLOT: 999}
        kept = {**known, **facts, attributes.CONFIG: config.model_dump(mode="json")}
        study.add_trial(create_trial(value=0.999, user_attrs=kept))

    return change


def ablated(study: optuna.Study, _folder: Path, since: str = "", delete: bool = False) -> None:
    """With twelve planned ablation runs, of this study or of one that began at another time."""
    arms = ["winner", "without dropout", "baseline"]
    stage = {"first": 1, "until": dict.fromkeys(arms, 4), "asked": 12, "alpha": 0.03}
    facts = {
        "winner": 1, "runs": 12, "margin": 0.003, "active": ["dropout"], "fine": False, "add_one_in": False,
        "interactions": False, "since": since or began(study), "stages": [stage], "lost": [],
        "planned": [[arm, repeat] for repeat in (1, 2, 3, 4) for arm in arms],
    }  # fmt: skip
    runs = optuna.create_study(storage=study._storage, study_name=f"{study.study_name}/ablation", direction="maximize")
    runs.set_user_attr(attributes.ABLATION, facts)
    runs.add_trial(create_trial(value=0.5))
    if delete:
        optuna.delete_study(storage=study._storage, study_name=study.study_name)


def ablated_before(study: optuna.Study, folder: Path) -> None:
    ablated(study, folder, "2020-01-01")


def ablated_and_gone(study: optuna.Study, folder: Path) -> None:
    ablated(study, folder, delete=True)


def ablation_file(_study: optuna.Study, folder: Path) -> None:
    (folder / "ablation").write_text("mine")


FIVE = {
    "model.dropout": 0.1, "regularization.l1": 1e-4, "regularization.l2": 1e-4, "regularization.label_smoothing": 0.1,
    "regularization.ema": 0.9,
}  # fmt: skip
ABLATE = ("ablate", "search")
ABLATING: dict[str, tuple[tuple[str, ...], Callable[[Path], None], str]] = {
    "a comparison": (("ablate", "comparison"), of_search(lambda *_: None, "comparison"), "is a comparison"),
    "a study under way": (ABLATE, of_search(under_way), "is still running: 1 trial of its search is under way"),
    "a confirmation under way": (
        ABLATE, of_search(confirming_under_way), "is still running: 1 trial of its confirmation is under way",
    ),
    "other images": (ABLATE, of_search(other_images), "are not those of the study (split 0000000000000000)"),
    "a study of its runs": ((*ABLATE, "--study", "search/ablation"), of_search(ablated), "search"),
    "too few runs": ((*ABLATE, "--runs", "7"), of_search(winner_has(FIVE)), "must be at least 28 here: 4 repeats of 7"),
    "too many interactions": (
        (*ABLATE, "--interactions"), of_search(winner_has(FIVE)),
        "combination of 2 to 4 active regularizers, but the winner",
    ),
    "interactions of one": (
        (*ABLATE, "--interactions"), of_search(winner_has({"model.dropout": 0.1})), "has 1: dropout.",
    ),
    "too few runs for tries": (
        (*ABLATE, "--retune-lr", "--runs", "69"), of_search(winner_has(FIVE)),
        "must be at least 70 here: 42 runs that choose learning rates, and 4 repeats of 7",
    ),
    "no other learning rate": (
        (*ABLATE, "--retune-lr"), of_search(winner_has({**FIVE, "optimizer.lr": 1e308})),
        "with lr = 1e+308, lr × 3 is not a finite number above 0. Leave the option out.",
    ),
    "no regularizer": (ABLATE, of_search(winner_has({})), "has no regularizer on; there is nothing to leave out"),
    "fewer runs than there are": ((*ABLATE, "--runs", "8"), of_search(ablated), "already has 12 ablation runs"),
    "other options": (
        (*ABLATE, "--fine", "--interactions"), of_search(ablated), "with other options than --fine and --interactions",
    ),
    "learning rates later": ((*ABLATE, "--retune-lr"), of_search(ablated), "other options than --retune-lr"),
    "another margin": ((*ABLATE, "--margin", "2"), of_search(ablated), "with other options than --margin"),
    "runs of a deleted study": (
        ABLATE, of_search(ablated_before), "optuna delete-study --study-name search/ablation",
    ),
    "runs whose study is gone": (ABLATE, of_search(ablated_and_gone), "There is no study in search"),
    "a file in the way": (ABLATE, of_search(ablation_file), "ablation is a file"),
}  # fmt: skip


def cases() -> Iterator[Misuse]:
    for command, table in (("confirm", CONFIRMING), ("ablate", ABLATING)):
        for name, (arguments, prepare, words) in table.items():
            yield Misuse(f"{command}: {name}", arguments, prepare, says=(words,))
    files: dict[str, str | bytes] = {"s.yaml": PLAIN, "c.yaml": PLAIN}
    for name, make in KINDS.items():
        for command, arguments in (COMMANDS | RESUMING).items():
            yield Misuse(f"{command} of {name}", arguments, make, frozenset({0, 2}), files=files)
    for name in SERVED_NEVER:
        yield Misuse(f"dashboard of {name}", ("dashboard", "x", "--port", "8979"), KINDS[name], files=files)
