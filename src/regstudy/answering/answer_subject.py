"""What is asked about: a space by its name or file, or images, for which a first space is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from regstudy.api import load_space
from regstudy.errors import ArgumentError, ConfigError
from regstudy.files import write_atomically
from regstudy.files.outputs import check_output
from regstudy.files.paths import given_path, shown
from regstudy.first_space.draft import check_name_of, default_output, draft_space
from regstudy.first_space.evening import EVENING
from regstudy.first_space.look import check_place, is_table
from regstudy.search.events import Listener, Notice
from regstudy.space.loader import known_spaces, space_from_text
from regstudy.space.search_space import Space
from regstudy.study.place import DATABASE_FILE
from regstudy.training.validation import CHECKS

DRAFTED = 0.8  # share of the budget that 50 trials of a new space may take: they are most of what an answer needs


@dataclass(frozen=True)
class Subject:
    """The space, and for new images the file that `keep` writes, with the time that 50 of its trials may take."""

    space: Space
    photos: Path | None = None
    file: Path | None = None
    text: str | None = None
    evening: float = EVENING

    def keep(self, listen: Listener) -> None:
        """Write the file of a new space."""
        if self.text is not None and self.file is not None:
            write_atomically(self.file, self.text)
            listen(Notice(f"Wrote the space {self.file}. Each value has a comment that says why."))


def find_subject(
    given: str | Path | Space, overrides: Sequence[str], budget: float, device: str, listen: Listener
) -> Subject:
    """The space that is meant; writes nothing. Raises RegstudyError."""
    if isinstance(given, Space):
        if overrides:
            raise ArgumentError("overrides cannot be combined with a Space; pass them to load_space.")
        return Subject(given)
    path = given_path(given, "The space or the folder of images")
    if (path / DATABASE_FILE).is_file():
        raise ArgumentError(
            f"{shown(path)} is the folder of a study. Give the space of that study, or its images; --study names it."
        )
    if not (is_table(path) or path.is_dir()) or str(given) in known_spaces():
        return Subject(_named(given, overrides))
    check_place(path)
    file = default_output(path)
    check_name_of(file)
    if file.exists():
        return Subject(_kept(file, path, overrides, listen), path, file)
    check_output(file, "init")
    evening = min(EVENING, DRAFTED * budget)
    listen(Notice(f"Looking at {path}, then timing networks on this machine. This takes seconds to a minute."))
    draft = draft_space(path, file, device, evening)
    listen(Notice("\n".join([*draft.seen, *draft.notes, *draft.chosen])))
    space = space_from_text(draft.text, file.stem, str(file), overrides, checks=CHECKS)
    return Subject(replace(space, source=str(file), overrides=tuple(overrides)), path, file, draft.text, evening)


def _named(given: str | Path, overrides: Sequence[str]) -> Space:
    try:
        return load_space(given, overrides)
    except ConfigError as error:
        if Path(given).exists() or Path(given).suffix in (".yaml", ".yml") or str(given) in known_spaces():
            raise
        raise ConfigError(f"{error} Or give a folder of images, or a CSV file that lists them.") from None


def _kept(file: Path, photos: Path, overrides: Sequence[str], listen: Listener) -> Space:
    """The space that an earlier call has written; ArgumentError if it is one of other images."""
    space = load_space(file, overrides)
    data = space.data
    roots = {Path(one).resolve() for one in (data.root, data.file) if one}
    if roots and photos.resolve() not in roots:
        raise ArgumentError(
            f"{file} is there already, and it is a space of other images than {shown(photos)}. Move it away, or give"
            f" the space that you mean: regstudy answer {file}."
        )
    listen(Notice(f"{file} is there already, so it is used as it is."))
    return space
