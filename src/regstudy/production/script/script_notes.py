"""The docstring of a script: what it trains, on which images, and where they come from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from textwrap import dedent
from typing import Any

from regstudy.config.plugins import is_plugin
from regstudy.config.run_config import RunConfig
from regstudy.config.schema import KFold

ARRAYS = "--data is a folder with the files train.npz and test.npz, which this writes:"
IMAGES: dict[str, str] = {
    "image_folder": "--data is the folder of the images: {folders} with one folder per class.",
    "cifar10": "--data is the folder of CIFAR-10, as torchvision or in class folders; it is downloaded if missing.",
    "svhn": "--data is the folder of SVHN's train_32x32.mat and test_32x32.mat, which are downloaded if missing.",
    "digits": """\
        {arrays}

            import numpy as np, torch
            from sklearn.datasets import load_digits
            from sklearn.model_selection import train_test_split

            pixels, labels = load_digits(return_X_y=True)
            parts = train_test_split(np.arange(len(labels)), test_size=0.2, stratify=labels, random_state=0)
            for name, part in zip(("train", "test"), map(np.sort, parts)):
                small = torch.from_numpy(pixels[part].astype(np.float32)).view(-1, 1, 8, 8) * (255 / 16)
                large = torch.nn.functional.interpolate(small, size=({size}, {size}), mode="bicubic")
                images = large.round_().clamp_(0, 255).to(torch.uint8).numpy()
                np.savez(f"{{name}}.npz", images=images, labels=labels[part])""",
    "street_digits": """\
        {arrays}

            import numpy as np
            from regstudy.data.street_digits import draw_many

            for seed, (name, count) in enumerate({{"train": {train}, "test": {test}}}.items()):
                images, labels = draw_many(seed, 0, count)
                np.savez(f"{{name}}.npz", images=images, labels=labels)""",
}


def notes_on(config: RunConfig, known: Mapping[str, Any]) -> str:
    """The docstring of the script of a configuration."""
    data = config.data
    parts = [known[name] for name in ("TRAIN_FOLDER", "VALIDATION_FOLDER", "TEST_FOLDER") if known[name]]
    count = data.options.get("count") or _street_digits(data.train_limit, data.validation)
    folders = "itself" if parts == ["."] else " and ".join(f"{name}/" for name in parts)
    values = {
        "arrays": ARRAYS,
        "folders": folders.replace("\\", "\\\\").replace('"', r"\""),  # in a docstring
        "size": known["SIZE"],
        "train": count,
        "test": min(26032, -(-int(count) // 5)),
    }
    own = f"The images are those of {data.name}, which is imported and gets --data; it may need other packages."
    text = own if is_plugin(data.name) else dedent(" " * 8 + IMAGES[data.name].lstrip()).format(**values)
    return f'''"""Trains {config.model.name} on {data.name} with torch, torchvision, numpy and Pillow alone.

{text}

{left_out(config)}
"""
'''


def left_out(config: RunConfig) -> str:
    """Which settings of a configuration its script does without, and why."""
    lines = ["The training images are not measured in eval mode (training.clean_train_every), which changes no weight."]
    if isinstance(config.data.resampling, KFold):
        lines.append("There are no folds (data.resampling): data.validation is held out, as `regstudy train` does.")
    return "\n".join(lines)


def _street_digits(limit: int | None, validation: float) -> int:
    """How many pictures are drawn for training and validation."""
    if limit is None:
        return 73257
    return limit + int(validation) if validation >= 1 else math.ceil(limit / (1 - validation))
