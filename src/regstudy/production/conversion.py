"""A trained network as model.onnx or model.pt2, next to its weights."""

from __future__ import annotations

import copy
import io
import json
import logging
import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import torch

from regstudy.config.user_code import own_line
from regstudy.errors import ArgumentError, FileError, RegstudyError, unknown
from regstudy.files import outputs, read_bytes, write_atomically
from regstudy.files.paths import given_path, shown
from regstudy.production.classifier import Classifier, load
from regstudy.production.onnx_file import ONNX_FILE, ONNX_MARK, check_onnx, onnx_bytes, sample_images
from regstudy.production.preprocessing_file import PREPROCESSING_FILE

PT2_FILE = "model.pt2"


class ModelFormat(NamedTuple):
    """The name of the file, the function that makes its content, and what it is called."""

    file: str
    content: Callable[[Classifier], bytes]
    title: str


def pt2_bytes(classifier: Classifier) -> bytes:
    """The content of model.pt2: `torch.export.load` reads it without regstudy; it contains preprocessing.json.

    ``classifier`` is on the CPU, with contiguous weights.
    """
    sample = sample_images(classifier, 2)
    program = torch.export.export(classifier, (sample,), dynamic_shapes={"images": {0: torch.export.Dim("batch")}})
    facts = {outputs.KEY: outputs.mark("train"), **classifier.facts.model_dump(mode="json")}
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files={PREPROCESSING_FILE: json.dumps(facts, ensure_ascii=False)})
    return buffer.getvalue()


MODEL_FORMATS = {
    "onnx": ModelFormat(ONNX_FILE, onnx_bytes, "ONNX"),
    "pt2": ModelFormat(PT2_FILE, pt2_bytes, "torch.export"),
}


def check_conversion(out: Path, formats: Sequence[str], overwrite: bool = False) -> None:
    """FileError unless these files can be written: the packages are there, and nothing foreign is in the way."""
    for name in formats:
        if name not in MODEL_FORMATS:
            raise ArgumentError(f"formats: {unknown('format', name, MODEL_FORMATS)}")
    if "onnx" in formats:
        check_onnx()
    signs = {out / ONNX_FILE: [ONNX_MARK], out / PT2_FILE: [b""] if _is_our_pt2(out / PT2_FILE) else []}
    wanted = {out / MODEL_FORMATS[name].file: signs[out / MODEL_FORMATS[name].file] for name in formats}
    outputs.check_outputs(wanted, "train", overwrite, "Move the file away, or replace it with --overwrite.")


def convert(out: str | Path, formats: Sequence[str] = ("onnx",), *, overwrite: bool = False) -> list[Path]:
    """Write the network in a folder of `regstudy train` as model.onnx (``onnx``), model.pt2 (``pt2``) or both there.

    Returns the files. Files of other origin are replaced only with ``overwrite``. Raises FileError if torch cannot
    export the network, or if the result does not give the same probabilities.
    """
    wanted = [formats] if isinstance(formats, str) else list(dict.fromkeys(formats))
    folder = given_path(out, "out")
    check_conversion(folder, wanted, overwrite)
    return write_converted(load(folder), folder, wanted)


def write_converted(classifier: Classifier, out: Path, formats: Sequence[str]) -> list[Path]:
    """Write a classifier in formats that have been checked into a folder."""
    plain = copy.deepcopy(classifier).cpu().to(memory_format=torch.contiguous_format)
    written = []
    for name in formats:
        path, (_, content, title) = out / MODEL_FORMATS[name].file, MODEL_FORMATS[name]
        try:
            with _in_silence():
                made = content(plain)
        except RegstudyError:
            raise
        except Exception as error:  # torch, onnxscript and the user's network raise many kinds
            raise FileError(
                f"{shown(path)} was not written: the network '{classifier.facts.network}' cannot be exported to"
                f" {title}: {_in_short(error)}. The weights there are not affected. torch exports only networks that"
                " compute the same for every image: without branches on values of tensors, and without NumPy."
            ) from error
        write_atomically(path, made)
        written.append(path)
    return written


@contextmanager
def _in_silence() -> Iterator[None]:
    """torch prints whole graphs about a network that it cannot export; `--debug` shows the traceback."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(before)


def _in_short(error: BaseException) -> str:
    """The first line of the first error, and where in the user's code it arose."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or ["no reason given"]
    where = own_line(error)
    return f"{type(error).__name__}: {lines[0][:300].rstrip('.')}" + (f" ({where})" if where else "")


def remove_outdated(out: Path) -> list[Path]:
    """Remove the converted files of an earlier training, whose weights are about to be replaced; returns them."""
    found = []
    for name, (file, _, _) in MODEL_FORMATS.items():
        path = out / file
        ours = _is_our_pt2(path) if name == "pt2" else path.is_file() and re.search(ONNX_MARK, read_bytes(path, 64))
        if ours:
            path.unlink()
            found.append(path)
    return found


def _is_our_pt2(path: Path) -> bool:
    """Whether a file is a model.pt2 of ours, by the copy of preprocessing.json in it."""
    try:
        with zipfile.ZipFile(path) as archive:
            name = next(name for name in archive.namelist() if name.endswith(f"extra/{PREPROCESSING_FILE}"))
            return outputs.mark("train") in archive.read(name)[:200].decode(errors="replace")
    except (OSError, zipfile.BadZipFile, StopIteration, KeyError, NotImplementedError, RuntimeError):
        return False
