"""Our attributes of studies and trials, without those that are of another type than regstudy stores.

Anybody can write attributes, and half-broken databases hold anything. Readers take attributes through `facts_of` and
`fact`, so that only this file needs to know what is well-formed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial, Trial

from regstudy.study import attributes

Check = Callable[[Any], bool]


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _mapping(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(key, str) for key in value)


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_text, value))


def _wholes(value: Any) -> bool:
    return isinstance(value, list) and all(map(_whole, value))


def _optional(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _all(check: Check) -> Check:
    return lambda value: _mapping(value) and all(map(check, value.values()))


def _has(**checks: Check) -> Check:
    """A mapping whose entries of these names are well-formed, where there are any."""
    return lambda value: _mapping(value) and all(check(value[key]) for key, check in checks.items() if key in value)


def _scalar(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float)


def _epochs(value: Any) -> bool:
    """Rows of numbers under the names of columns, with the number of the epoch among them."""
    if not _mapping(value) or not _texts(value.get("columns")) or "epoch" not in value["columns"]:
        return False
    names, rows = value["columns"], value.get("rows")
    if not isinstance(rows, list) or not rows:
        return rows == []
    try:
        numbers = np.array(rows, dtype=np.float64)  # the words for what JSON lacks become numbers, too
    except (ValueError, TypeError):
        return False
    if numbers.ndim != 2 or numbers.shape[1] != len(names):
        return False
    return bool(((numbers[:, names.index("epoch")] >= 1) & (numbers[:, names.index("epoch")] < 2**31)).all())


def _confusions(value: Any) -> bool:
    """Per part the number of classes, and cells that name two of them with a number of images."""
    return _all(
        lambda part: (
            _mapping(part)
            and _whole(part.get("classes"))
            and isinstance(part.get("cells"), list)
            and all(
                isinstance(cell, list) and len(cell) == 3 and all(map(_whole, cell)) and max(cell[:2]) < part["classes"]
                for cell in part["cells"]
            )
        )
    )(value)


def _groups(value: Any) -> bool:
    """Per part equally long lists of counts, with no more right answers than images."""
    return _all(
        lambda part: (
            _all(_wholes)(part)
            and part.keys() in ({"groups", "classes", "images", "right"}, {"images", "right", "times"})
            and len({len(counts) for counts in part.values()}) == 1
            and all(right <= images for images, right in zip(part["images"], part["right"], strict=True))
        )
    )(value)


def _owner(value: Any) -> bool:
    return _mapping(value) and _text(value.get("host")) and _whole(value.get("pid")) and _number(value.get("started"))


def _reliability(value: Any) -> bool:
    """Lists of equal length with numbers of images and correct answers and sums of confidence, and a Brier score."""
    if not _mapping(value) or not _number(value.get("brier")) or not math.isfinite(value["brier"]):
        return False
    lists = [value.get(name) for name in ("images", "confidence", "right")]
    if not all(isinstance(one, list) and one and all(map(_number, one)) for one in lists):
        return False
    images, confidence, right = lists
    if not len(images) == len(confidence) == len(right) or not sum(images):
        return False
    return all(
        _whole(n) and _whole(hits) and hits <= n and 0 <= total <= n * (1 + 1e-6)
        for n, total, hits in zip(images, confidence, right, strict=True)
    )


def _pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_whole, value))


def _positive(value: Any) -> bool:
    return _number(value) and value > 0


def _stage(value: Any) -> bool:
    """Which repeats of which arms a stage of an ablation has."""
    checks = {"first": _whole, "until": _all(_whole), "asked": _whole, "alpha": _number}
    return _mapping(value) and value.keys() == checks.keys() and all(check(value[key]) for key, check in checks.items())


def _planned(value: Any) -> bool:
    """The trial whose configuration a run has (-1 for the baseline), and its round."""
    return isinstance(value, list) and len(value) == 2 and all(isinstance(one, int) for one in value) and value[1] > 0


def _fold(value: Any) -> bool:
    return _mapping(value) and _whole(value.get("best_epoch")) and _number(value.get("best_value"))


def _finding(value: Any) -> bool:
    return _mapping(value) and all(_text(value.get(name)) for name in ("id", "severity", "sentence", "advice"))


def _findings(value: Any) -> bool:
    return isinstance(value, list) and all(map(_finding, value))


_described = _has(
    name=_text, requested=_text, fallback_reason=_optional(_text), classes=_texts, train=_whole, clean_train=_whole,
    validation=_whole, split_hash=_text, split_seed=_whole, parts=_all(_text), file_rule=_optional(_whole),
    folds=_optional(_whole),
    validation_per_class=_wholes,
)  # fmt: skip


_race = _has(
    baseline=_whole, runs=_whole, sizes=_wholes, center=_number, round=_whole, leaders=_wholes, since=_text,
    planned=lambda value: isinstance(value, list) and all(map(_planned, value)),
)  # fmt: skip


_ablation = _has(
    winner=_whole, runs=_whole, margin=_number, active=_texts, since=_text, factors=_all(_positive),
    stages=lambda value: isinstance(value, list) and all(map(_stage, value)),
    planned=lambda value: isinstance(value, list) and all(isinstance(one, list) and len(one) == 2 for one in value),
)  # fmt: skip


def _params(value: Any) -> bool:
    return _all(lambda one: one is None or isinstance(one, str | int | float))(value)


def _earlier(value: Any) -> bool:
    """A trial of an earlier study."""
    return (
        _mapping(value)
        and value.keys() == {"params", "value", "gap"}
        and _params(value["params"])
        and _number(value["value"])
        and (value["gap"] is None or _number(value["gap"]))
    )


_SOURCE: dict[str, Check] = {
    "study": _text, "where": _text, "since": _text, "same_images": lambda value: isinstance(value, bool),
    "trials": _whole, "same": _whole, "prior": _all(_whole), "left_out": _all(_whole), "tried": _whole,
    "known": lambda value: isinstance(value, list) and all(map(_earlier, value)),
}  # fmt: skip


def _source(value: Any) -> bool:
    return _mapping(value) and value.keys() == _SOURCE.keys() and all(_SOURCE[key](value[key]) for key in _SOURCE)


def _start(value: Any) -> bool:
    return (
        _mapping(value)
        and value.keys() == {"tries", "files", "sources"}
        and _all(_params)(value["tries"])
        and all(slot.isdecimal() for slot in value["tries"])
        and _texts(value["files"])
        and isinstance(value["sources"], list)
        and all(map(_source, value["sources"]))
    )


def _images(value: Any) -> bool:
    """A description of images with what tells them from others."""
    return _described(value) and {"split_hash", "split_seed"} <= value.keys()


def _finite(value: Any) -> bool:
    """Finite numbers in a list."""
    return isinstance(value, list) and all(_number(one) and math.isfinite(one) for one in value)


_fresh = _has(
    unit=_text, gain=lambda value: _finite(value) and len(value) == 3, margin=_number,
    gaps=lambda value: _finite(value) and len(value) in (0, 2),
)  # fmt: skip


CHECKS: Mapping[str, Check] = {
    attributes.SPACE: _text,
    attributes.PLAN: _text,
    attributes.SPACE_NAME: _text,
    attributes.FINGERPRINT: _text,
    attributes.METRIC: _text,
    attributes.GAP_AT_MOST: lambda value: _number(value) and math.isfinite(value),
    attributes.EPOCHS_PLANNED: _whole,
    attributes.REGULARIZERS: _all(_scalar),
    attributes.NUISANCES: _texts,
    attributes.DATA: _images,
    attributes.SEED: _whole,
    attributes.TRIALS: _whole,
    attributes.CONFIRM: lambda value: _has(share=_number, runs=_whole)(value) and value.keys() >= {"share", "runs"},
    attributes.UNTIL: _text,
    attributes.WORKERS: _whole,
    attributes.STOPPED: _optional(
        lambda value: (
            _has(search=_whole, asked=_whole, runs=_whole)(value) and value.keys() >= {"search", "asked", "runs"}
        )
    ),
    attributes.START: _start,
    attributes.PARAMETERS: _all(_pair),
    attributes.RACE: lambda value: (
        _race(value) and value.keys() >= {"baseline", "runs", "sizes", "center", "round", "leaders", "planned"}
    ),
    attributes.ABLATION: lambda value: (
        _ablation(value) and value.keys() >= {"winner", "runs", "margin", "active", "add_one_in", "stages", "planned"}
    ),
    attributes.PILOT: lambda value: _has(fingerprint=_text, runs=_whole)(value) and len(value) == 2,
    attributes.ANSWER: lambda value: (
        _has(phase=_text, budget=_number, spent=_number, pilot=_number, runs=_all(_whole))(value) and len(value) == 5
    ),
    attributes.RESOLUTION: lambda value: (
        _has(
            budget=_number,
            margin=_number,
            regularizers=_whole,
            runs=_whole,
            images=_whole,
            why_none=_text,
            **dict.fromkeys(("half_width", "told", "for_margin", "for_ablation"), _number),
        )(value)
        and value.keys() >= {"budget", "margin", "regularizers", "runs", "images"}
    ),
    attributes.FINAL_MODEL: lambda value: (
        _has(folder=_text, trial=_whole, words=_text)(value) and value.keys() == {"folder", "trial", "words"}
    ),
    attributes.MARGIN: lambda value: _number(value) and math.isfinite(value),
    attributes.PRUNER: _text,
    attributes.AUDIT: _mapping,
    attributes.DOCTOR: _has(
        skipped=_text, findings=_findings, verdict=_text, checked=lambda value: isinstance(value, list)
    ),
    attributes.COMMAND: _text,
    attributes.HEADLINE: _has(
        text=_text,
        gain=_optional(_number),
        fair_gain=_optional(_text),
        word=_text,
        tone=_text,
        fresh=lambda value: _fresh(value) and value.keys() >= {"unit", "gain", "gaps", "margin"},
    ),
    attributes.PUSHED: _all(_text),
    attributes.VERSIONS: _all(_scalar),
    attributes.SLOT: _whole,
    attributes.ARM: _text,
    attributes.CONFIG: _mapping,
    attributes.EPOCHS: _epochs,
    attributes.OUTCOME: _text,
    attributes.SHADOW: _has(epoch=_whole, reason=_text),
    attributes.REASON: _text,
    attributes.FAULT: _text,
    attributes.OWNER: _owner,
    attributes.CLAIM: _text,
    attributes.ALIVE: _number,
    attributes.WORKERS: _whole,
    attributes.THREADS: _whole,
    attributes.RESUMED: _whole,
    attributes.CONFUSION: _confusions,
    attributes.GROUPS: _groups,
    attributes.RELIABILITY: _reliability,
    attributes.FOLDS: lambda value: isinstance(value, list) and all(map(_fold, value)),
    attributes.BEST_EPOCH: _whole,
    attributes.BEST_VALUE: _number,
}


def facts_of(stored: optuna.Study | FrozenTrial | Trial) -> dict[str, Any]:
    """The attributes of a study or trial without those of ours that are not well-formed."""
    return {name: value for name, value in stored.user_attrs.items() if _well_formed(name, value)}


def fact(stored: optuna.Study | FrozenTrial | Trial, name: str, default: Any = None) -> Any:
    """One attribute, the default if it is absent or not well-formed."""
    attrs = stored.user_attrs
    return attrs[name] if name in attrs and _well_formed(name, attrs[name]) else default


def _well_formed(name: str, value: Any) -> bool:
    return name not in CHECKS or CHECKS[name](value)
