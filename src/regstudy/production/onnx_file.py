"""model.onnx: a classifier for ONNX Runtime and everything else that reads ONNX. Needs the extra `onnx`.

Input ``images`` uint8 N×C×S×S, output ``probabilities`` float32 N×classes, any N. The metadata hold the class names
(``classes``, JSON) and the content of preprocessing.json (``preprocessing``).
"""

from __future__ import annotations

import json
from importlib.util import find_spec

import torch
from torch import Tensor

from regstudy.errors import FileError, installing
from regstudy.files.outputs import mark
from regstudy.production.classifier import Classifier
from regstudy.text import listing

ONNX_FILE = "model.onnx"
ONNX_MARK = rb"(?s)\A\x08.\x12.regstudy train"  # the format's version, then its producer
PACKAGES = ("onnx", "onnxscript", "onnxruntime")
TOLERANCE = 1e-4  # largest difference of a probability
CHECKED_IMAGES = 16


def check_onnx() -> None:
    """FileError unless the packages are installed that the export needs."""
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        are = "is" if len(missing) == 1 else "are"
        raise FileError(
            f"--onnx needs the extra packages of `regstudy[onnx]`, and {listing(missing)} {are} not installed. Install"
            f" them with: {installing('onnx')}"
        )


def onnx_bytes(classifier: Classifier) -> bytes:
    """The file's content, after ONNX Runtime has given the same probabilities for random images.

    ``classifier`` is on the CPU, with contiguous weights. Raises FileError if it does not.
    """
    import onnx

    program = torch.onnx.export(
        classifier,
        (sample_images(classifier, 2),),
        dynamo=True,
        input_names=["images"],
        output_names=["probabilities"],
        dynamic_shapes={"images": {0: torch.export.Dim("batch")}},
        verbose=False,
    )
    if program is None:
        raise FileError("torch did not return an ONNX program.")
    model = program.model_proto
    model.producer_name = mark("train")
    described = {"classes": json.dumps(classifier.classes, ensure_ascii=False)}
    described["preprocessing"] = json.dumps(classifier.facts.model_dump(mode="json"), ensure_ascii=False)
    onnx.helper.set_model_props(model, described)
    content: bytes = model.SerializeToString()
    _check_same(content, classifier)
    return content


def sample_images(classifier: Classifier, count: int) -> Tensor:
    """Random images that a classifier takes, uint8 N×C×S×S, always the same ones."""
    facts, generator = classifier.facts, torch.Generator().manual_seed(0)
    shape = (count, facts.channels, facts.size, facts.size)
    return torch.randint(0, 256, shape, generator=generator).to(torch.uint8)


def _check_same(content: bytes, classifier: Classifier) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    images = sample_images(classifier, CHECKED_IMAGES)
    found = torch.from_numpy(session.run(None, {"images": images.numpy()})[0])
    off = float((found - classifier.probabilities(images)).abs().max())
    if not off <= TOLERANCE:
        raise FileError(
            f"{ONNX_FILE} was not written: its probabilities in ONNX Runtime differ from torch's by up to {off:.2g},"
            f" more than {TOLERANCE:g}. Try other versions of torch, onnxscript and onnxruntime, or use --pt2."
        )
