"""Number formats: who trains in which, and that measurements and what is kept stay in fp32."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny import make_config, make_splits

from regstudy.training import precision
from regstudy.training.evaluation import evaluate
from regstudy.training.loop import run_epoch
from regstudy.training.precision import computing_in, resolve
from regstudy.training.run import run
from regstudy.training.train_state import start

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("asked", "native", "format"),
    [
        ("auto", True, "bf16"),
        ("auto", False, "fp32"),
        ("fp32", True, "fp32"),
        ("bf16", False, "bf16"),
    ],
)
def test_the_format_follows_the_wish_and_then_the_device(
    asked: Any, native: bool, format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "has_native_bf16", lambda _: native)
    assert resolve(asked, CPU) == format


@pytest.mark.parametrize(("format", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_products_are_computed_in_the_format(format: Any, dtype: torch.dtype) -> None:
    with computing_in(format, CPU):
        assert torch.nn.Linear(4, 4)(torch.rand(2, 4)).dtype == dtype


def test_bf16_changes_training_but_weights_stay_fp32_and_measurements_are_those_of_the_exported_network() -> None:
    states = {name: start(make_config({"training.precision": name}), make_splits(), CPU) for name in ("fp32", "bf16")}
    records = {name: run_epoch(state) for name, state in states.items()}
    assert records["fp32"].train_loss != records["bf16"].train_loss
    assert records["fp32"].train_loss == pytest.approx(records["bf16"].train_loss, rel=0.05)
    state = states["bf16"]
    assert {p.dtype for p in state.model.parameters()} == {torch.float32}
    assert {p.grad.dtype for p in state.model.parameters() if p.grad is not None} == {torch.float32}
    exported = start(make_config({"training.precision": "fp32"}), make_splits(), CPU)
    exported.model.load_state_dict(state.measured_weights())
    loss, accuracy = evaluate(exported.model, exported.splits.validation, exported.preprocessing)
    assert (loss, accuracy) == (records["bf16"].val_loss, records["bf16"].val_accuracy)


def test_bf16_runs_are_the_same_to_the_bit() -> None:
    config = make_config({"training.precision": "bf16"})
    losses = [[r.val_loss for r in run(config, make_splits(), CPU).result.records] for _ in range(2)]
    assert losses[0] == losses[1]
