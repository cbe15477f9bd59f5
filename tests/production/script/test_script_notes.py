"""The docstring of a script stays one, whatever the folders of the images are called."""

from __future__ import annotations

import ast

import pytest

from regstudy.config.run_config import parse_config
from regstudy.production.script.script_notes import notes_on


@pytest.mark.parametrize("name", ["train", 'a"""; import this', "back\\data", 'ends with "', "line\\"])
def test_names_of_folders_do_not_end_it(name: str) -> None:
    config = parse_config({"data": {"name": "image_folder"}, "model": {"name": "small_cnn"}}, "the configuration")
    notes = notes_on(config, {"TRAIN_FOLDER": name, "VALIDATION_FOLDER": "", "TEST_FOLDER": name, "SIZE": 8})
    parsed = ast.parse(notes)
    assert len(parsed.body) == 1 and f"{name}/ and {name}/" in (ast.get_docstring(parsed) or "")
