"""The user's own arrays, data sets and tables of images that cannot be used, and fields that are for other ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from misuse.bad_folders import DRY, layout, picture
from misuse.misuse_case import Misuse

MODEL = "model: {name: small_cnn, dropout: {low: 0.0, high: 0.5}}\ntraining: {epochs: 1, batch_size: 8}\n"
START = (
    "import numpy as np\nimport torch\nG = np.random.default_rng(0)\nX = G.integers(0, 256, (40, 8, 8, 3), np.uint8)\n"
)
RETURNED = {  # after `return`, and words of the message
    "floats around 0": ("X / 255 - 0.5, np.arange(40) % 2", "Leave out a normalization"),
    "values to 16": ("X / 16, np.arange(40) % 2", "so neither is likely"),
    "flat images": ("X[..., 0].reshape(40, -1), np.arange(40) % 2", "Use images.reshape(-1, 8, 8)"),
    "unclear channels": ("X[:, :3], np.arange(40) % 2", "the first or the last axis can be"),
    "no channels": ("np.zeros((40, 9, 9, 9)), np.arange(40) % 2", "1 to 4 channels"),
    "labels before images": ("np.arange(40) % 2, X", "return images first"),
    "too few labels": ("X, np.arange(30) % 2", "30 labels for 40 images"),
    "several labels": ("X, np.ones((40, 3), int)", "multi-label"),
    "numbers to predict": ("X, np.arange(40) / 7", "regression"),
    "float labels": ("X, (np.arange(40) % 2) / 1", "labels.astype(int)"),
    "labels from 1": ("X, np.arange(40) % 2 + 1", "use labels - 1"),
    "labels of an unknown class": ("X, ['a', 'b', 'c', 'd'] * 10, ['a', 'b']", "there is no class 'c'"),
    "only images": ("X", "without labels"),
    "a loader": ("torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.ones(4, 1)))", "loader.dataset"),
    "a stream": ("iter([])", "list(data)"),
    "a mapping of columns": ("{'image': X, 'label': np.arange(40)}", "one of parts"),
    "a mapping without train": ("{'test': (X, np.arange(40) % 2)}", "with train among them"),
    "paths": ("[('a.png', 0), ('b.png', 1)]", "PIL.Image"),
    "random items": (
        "type('D', (), {'__len__': lambda s: 9, '__getitem__': lambda s, i: (G.random((8, 8)), 0)})()",
        "random",
    ),
    "items that fail": ("type('D', (), {'__len__': lambda s: 9, '__getitem__': lambda s, i: [][i]})()", "Item 0"),
    "the same images for all parts": ("X, np.arange(40) % 2", "has the same images as its training set"),
}
ROWS = [f"{'ab'[number % 2]}/{number // 2}.png,{'ab'[number % 2]},p{number // 4},train" for number in range(16)]
TABLE = "\n".join(["path,kind,patient,part", *ROWS])
TABLES = {  # the text of the table, or None for no table
    "no table": (None, "does not exist"),
    "empty": ("", "is empty"),
    "only a header": ("path,kind,patient,part\n", "no rows"),
    "without the columns": ("a,b\n1,2\n", "there is no column 'path'"),
    "a column twice": (TABLE.replace("part", "kind", 1), "2 columns have this name"),
    "missing files": (TABLE.replace("a/", "c/"), "8 missing files"),
    "empty labels": (TABLE.replace(",a,", ",,"), "8 rows without a value"),
    "uneven rows": (TABLE.replace("p1,", "p1,,"), "more or fewer cells"),
    "images twice": (TABLE.replace("a/1.png", "a/2.png"), "listed more than once"),
    "several labels": (TABLE.replace("png,a", "png,a|b", 1), "multi-label"),
    "numbers to predict": ("path,kind\n" + "\n".join(f"a/{n}.png,{n / 3}" for n in range(8)), "regression"),
    "one class": (TABLE.replace(",b,", ",a,"), "only the class"),
    "an open quote": (TABLE + '\n"a', "cannot be read as CSV"),
    "a link above": (TABLE.replace("a/1.png", "../nosuch/1.png"), "1 missing file"),
}
SETTINGS = {
    "data.file=": "data.file",
    "data.file=null": "data.file: is required for table",
    "data.file=photos": "it is a folder",
    "data.image=nosuch": "data.image is 'nosuch'",
    "data.label=knd": "Did you mean 'kind'?",
    "data.group=patients": "Did you mean 'patient'?",
    "data.split=fold": "data.split is 'fold'",
    "data.split=kind": "is not one of train, validation, test",
    "data.root=photos": "is for image_folder and cifar10 only",
    "data.parts=none": "is for image_folder only",
    "data.channels=2": "data.channels",
    "data.channels={choices: [1, 3]}": "data.channels",
    "data.columns=x": "data.columns",
}
OTHERS = {
    "data.channels=1": "is for image_folder, table and package.module:function only",
    "data.file=labels.csv": "is for table only",
    "data.label=kind": "is for table and package.module:function only",
}


def pictures(folder: Path) -> None:
    layout(a=8, b=8)(folder)
    picture(folder / "photos" / "extra.png")


def cases() -> Iterator[Misuse]:
    own = f"data: {{name: 'mine:data', size: 8}}\n{MODEL}"
    for name, (value, words) in RETURNED.items():
        only = "" if name.startswith("the same") else "    if part != 'train':\n        return None\n"
        files = {"s.yaml": own, "mine.py": f"{START}def data(part, *_):\n{only}    return {value}\n"}
        yield Misuse(f"own data: {name}", DRY, says=("mine:data", words), files=files)
    columns = "file: photos/labels.csv, image: path, label: kind"
    table = f"data: {{name: table, {columns}, size: 8, validation: 0.25}}\n{MODEL}"
    for name, (text, words) in TABLES.items():
        files = {"s.yaml": table} | ({} if text is None else {"photos/labels.csv": text})
        yield Misuse(f"table: {name}", DRY, pictures, says=("labels.csv", words), files=files)
    for setting, words in SETTINGS.items():
        files = {"s.yaml": table, "photos/labels.csv": TABLE}
        yield Misuse(f"table with {setting}", (*DRY, "--set", setting), pictures, says=(words,), files=files)
    for setting, words in OTHERS.items():
        files = {"s.yaml": f"data: {{name: digits, train_limit: 60, validation: 40}}\n{MODEL}"}
        yield Misuse(f"digits with {setting}", (*DRY, "--set", setting), says=(words,), files=files)
    gray = f"data: {{name: image_folder, root: photos, size: 8, channels: 1}}\n{MODEL}"
    for value, words in (("imagenet", "imagenet is for 3 channels"), ("{mean: [0, 0, 0], std: [1, 1, 1]}", "3 means")):
        setting = f"preprocessing.normalize={value}"
        files = {"s.yaml": gray}
        yield Misuse(f"gray folder with {setting}", (*DRY, "--set", setting), pictures, says=(words,), files=files)
