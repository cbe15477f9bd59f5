"""Space files that are no YAML, no mapping, or hold values that no field takes; and wrong `--set`."""

from __future__ import annotations

from collections.abc import Iterator

from misuse.misuse_case import CHECKED, SPACE, Misuse

from regstudy.config.fields import field_paths, value_types
from regstudy.config.run_config import RunConfig

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "\n".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
TEXTS: dict[str, str | bytes] = {
    "empty": "",
    "only a comment": "# nothing\n",
    "a word": "hello",
    "a list": "- data\n- model\n",
    "a number": "42",
    "null": "null",
    "two documents": f"{SPACE}\n---\n{SPACE}",
    "a tab": "data:\n\tname: digits\n",
    "an open bracket": "data: {name: digits\nmodel: [",
    "an open quote": "data: {name: 'digits}\n",
    "a duplicate key": f"{SPACE}\nmodel: {{name: small_cnn}}\n",
    "an unknown tag": f"{SPACE}\nstudy: !!python/object/apply:os.system ['echo harm']\n",
    "a tag of one's own": f"{SPACE}\nstudy: !mine {{seed: 1}}\n",
    "int of a word": SPACE.replace("epochs: 1", "epochs: !!int abc"),
    "float of a word": SPACE.replace("epochs: 1", "epochs: !!float abc"),
    "bool of a word": SPACE.replace("epochs: 1", "log_x: !!bool maybe"),
    "a binary": SPACE.replace("epochs: 1", "epochs: !!binary 'a'"),
    "a set": SPACE.replace("epochs: 1", "epochs: !!set {1, 2}"),
    "an impossible date": SPACE.replace("epochs: 1", "epochs: 2024-13-45"),
    "a date": SPACE.replace("epochs: 1", "epochs: 2024-01-02"),
    "a date and time": SPACE.replace("epochs: 1", "epochs: 2024-01-02T25:61:61Z"),
    "5,000 digits": SPACE.replace("epochs: 1", f"epochs: {'9' * 5000}"),
    "a float of 5,000 digits": SPACE.replace("low: 0.0", f"low: 0.{'1' * 5000}e99999"),
    "an endless exponent": SPACE.replace("low: 1e-4", "low: 1e999999999"),
    "an alias bomb": f"{SPACE}\n{BOMB}\n",
    "an alias of itself": f"{SPACE}\nstudy: &a {{seed: *a}}\n",
    "an alias of nothing": f"{SPACE}\nstudy: *nothing\n",
    "deep brackets": "a: " + "[" * 3000 + "]" * 3000,
    "deep mappings": "a: " + "{b: " * 3000 + "1" + "}" * 3000,
    "a key that is a list": f"{SPACE}\n? [1, 2]\n: 3\n",
    "a key that is a mapping": f"{SPACE}\n? {{a: 1}}\n: 3\n",
    "a key that is a number": f"{SPACE}\n1: 3\n",
    "a key that is null": f"{SPACE}\nnull: 3\n",
    "a key that is true": f"{SPACE}\ntrue: 3\n",
    "an empty key": f"{SPACE}\n'': 3\n",
    "a key with dots": f"{SPACE}\nmodel.dropout: 3\n",
    "a key with control characters": f'{SPACE}\n"\\e[31mred\\e[0m": 3\n',
    "a key that is markup": f"{SPACE}\n'[red]bold[/red] :smile:': 3\n",
    "a merge of a number": f"{SPACE}\nstudy: {{<<: 3}}\n",
    "control characters": b"data: {name: \x00digits}\n",
    "an escape": b"data: {name: \x1b[31mdigits}\n",
    "not UTF-8": b"data: {name: d\xfcgits}\n",
    "UTF-16": SPACE.encode("utf-16"),
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4,
    "JSON with a comma too much": '{"data": {"name": "digits"},, }',
    "TOML": '[data]\nname = "digits"\n',
    "Python": "data = dict(name='digits')\nmodel = None\n",
    "a million bytes": "# " + "x" * 2_000_000 + "\n- 1",
    "no data": "model: {name: small_cnn}\n",
    "no model": "data: {name: digits}\n",
    "an unknown section": f"{SPACE}\nregularisation: {{l2: 0.1}}\n",
}
SECTIONS = ("data", "model", "optimizer", "schedule", "regularization", "augmentation", "training", "preprocessing")
WRONG_SECTIONS = {
    "a word": "word",
    "a number": "7",
    "a list": "[1, 2]",
    "true": "true",
    "a date": "2024-01-02",
}
WRONG_VALUES = [
    "word word",
    "[]",
    "{}",
    "[[1]]",
    "{a: 1}",
    "-3.5",
    "2024-01-02",
    "{low: 1}",
    "{choices: []}",
    "{or: 1}",
]
NEVER = {  # dotted paths with a value that is wrong for each
    "data.name": "nosuch",
    "data.size": "3",
    "data.fit": "zoom",
    "data.validation": "1.5",
    "data.train_limit": "0",
    "data.split_seed": "-1",
    "data.unreadable": "maybe",
    "model.name": "resnet_of_mine",
    "model.dropout": "1.0",
    "model.width": "-1",
    "model.trainable": "tail",
    "model.weights": "nosuch.safetensors",
    "optimizer.name": "lion",
    "optimizer.lr": "0",
    "optimizer.weight_decay": "0.1",
    "schedule.name": "sawtooth",
    "regularization.l1": "-1",
    "regularization.l2": ".nan",
    "regularization.dropout": "0.5",
    "regularization.label_smoothing": "1",
    "regularization.mixup": ".inf",
    "augmentation.strength": "2",
    "augmentation.ops": "[swirl]",
    "training.epochs": "0",
    "training.batch_size": "1",
    "training.patience": "-1",
    "training.monitor": "f1",
    "training.precision": "fp8",
    "training.deterministic": "maybe",
    "training.learning_rate": "0.1",
    "study.metric": "kappa",
    "study.seed": "-1",
    "study.nuisance": "[colour]",
    "study.trials": "7",
    "study.gap_at_most": "5",
}
RANGES = [
    "{low: 1, high: 0}",
    "{low: 0, high: 0}",
    "{low: 0, high: 1, log: true}",
    "{low: 0.1, high: .inf}",
    "{low: .nan, high: 1}",
    "{low: a, high: b}",
    "{low: 0.1, high: 0.5, step: 0}",
    "{low: 0.1, high: 0.5, step: -0.1}",
    "{low: 0.0, high: 0.5, step: 1e-300}",
    "{low: 0.0, high: 0.5, step: 0.07, default: 0.6}",
    "{low: 0.1, high: 0.5, step: 0.1, log: true}",
    "{low: 0.1, high: 0.5, default: [1]}",
    "{low: 0.1, high: 0.5, default: {a: 1}}",
    "{low: 0.1, high: 0.5, powers_of: 2}",
    "{low: 0.1, high: 0.5, powers_of: 1}",
    "{min: 0.1, max: 0.5}",
    "{low: 0.1, high: 0.5, or: high}",
    "{low: 0.1, high: 0.5, or: [0]}",
    "{low: 0.1}",
    "{choices: []}",
    "{choices: {}}",
    "{choices: 3}",
    "{choices: [0.1, 0.1]}",
    "{choices: [[1], [2]]}",
    "{choices: [{a: 1}]}",
    "{choices: [0.1, null, word]}",
    "{choices: [0.1, 0.2], default: 0.3}",
    "{choices: [0.1, 0.2], default: [0.1]}",
    "{choices: [0.1, 0.2], low: 0.1}",
    "{low: 0.1, high: {low: 0.2, high: 0.3}}",
    "[0.1, 0.2]",
]
OVERRIDES = [
    "",
    "=",
    "a",
    "a=",
    "=1",
    "model",
    "model.=1",
    ".dropout=1",
    "model..dropout=0.1",
    "model.dropout",
    "model.dropout=[",
    "model.dropout={",
    "model.dropout=&a",
    "model.dropout=*a",
    "model.dropout=!!int x",
    "model.dropout=2024-13-45",
    "model.dropout=" + "9" * 5000,
    "model.dropout=" + "[" * 3000,
    "model.dropout=a: b: c",
    "model.dropout=\x00",
    "model.dropout=\x1b[31m",
    "model.dropout.low.x=1",
    "model.name.x=1",
    "model=small_cnn",
    "model=",
    "data=",
    "data=[]",
    "study=7",
    "study.seed=x",
    "training.epochs=1.5",
    "training.epochs=ten",
    "training.epochs=1_0x",
    "optimizer.lr={low: 1}",
    "optimizer.lr=1e",
    "optimizer={name: sgd, lr: high}",
    "phases=3",
    "phases=[3]",
    "phases=[{data: {name: cifar10}}]",
    "phases=[{training: {epochs: 0}}]",
    "[red]x[/red]=1",
    ":smile:=1",
    "modell.dropout=0.1",
    "Model.dropout=0.1",
    "model.dropout =0.1x",
    "data.group=(",
    "data.group=[",
    "data.options={a: [1]}",
    "data.name=nosuch",
    "data.name=no.such:function",
    "data.name=os:nosuch",
    "model.name=:x",
    "model.name=a b:c",
    "data.root=/nosuch",
]


def cases() -> Iterator[Misuse]:
    for name, text in TEXTS.items():
        yield Misuse(f"space: {name}", CHECKED, files={"s.yaml": text})
    for section in SECTIONS:
        for name, value in WRONG_SECTIONS.items():
            lines = [line for line in SPACE.strip().splitlines() if not line.startswith(f"{section}:")]
            text = "\n".join([*lines, f"{section}: {value}\n"])
            yield Misuse(f"section {section}: {name}", CHECKED, files={"s.yaml": text}, says=(section,))
    for name, value in WRONG_SECTIONS.items():
        yield Misuse(f"section study: {name}", CHECKED, files={"s.yaml": f"{SPACE}study: {value}\n"}, says=("study",))
    for path, value in NEVER.items():
        said = path.removesuffix(".name")
        yield Misuse(f"value {path}={value}", with_set(f"{path}={value}"), files={"s.yaml": SPACE}, says=(said,))
    for text in RANGES:
        yield Misuse(
            f"range {text}", with_set(f"model.dropout={text}"), files={"s.yaml": SPACE}, says=("model.dropout",)
        )
    for override in OVERRIDES:
        yield Misuse(f"override {override[:40]!r}", with_set(override), files={"s.yaml": SPACE})
    for path in values_of_one_type():
        for value in WRONG_VALUES:
            name = f"value {path}={value}"
            yield Misuse(name, with_set(f"{path}={value}"), codes=frozenset({0, 2}), files={"s.yaml": SPACE})


def with_set(override: str) -> tuple[str, ...]:
    return (*CHECKED, "--set", override)


def values_of_one_type() -> Iterator[str]:
    """Every tenth or so of the dotted paths at which a number or a word stands."""
    paths = [path for path in field_paths(RunConfig) if value_types(RunConfig, path)]
    yield from sorted(set(paths))[::12]
