"""`training.compile`: only training steps use the compiled network, and a compiler that fails is one clear error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from tiny import CPU, make_config, make_splits
from torch import Tensor, nn

from regstudy.config.fingerprint import hashed
from regstudy.config.run_config import RunConfig
from regstudy.errors import ConfigError
from regstudy.training.compiling import check_compiler, compile_errors
from regstudy.training.loop import run_epoch
from regstudy.training.train_state import start

ON = make_config({"training.compile": True})


class CompilerError(RuntimeError):
    """As torch's own, of which there are many."""


CompilerError.__module__ = "torch._inductor.exc"


@pytest.fixture(autouse=True)
def asked_anew() -> Iterator[None]:
    check_compiler.cache_clear()
    yield
    check_compiler.cache_clear()


def test_only_training_steps_are_compiled_and_names_of_weights_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[int] = []

    def compiles(network: Callable[[Tensor], Tensor], dynamic: bool) -> Callable[[Tensor], Tensor]:
        assert not dynamic

        def called(images: Tensor) -> Tensor:
            batches.append(len(images))
            return network(images)

        return called

    monkeypatch.setattr(torch, "compile", compiles)
    state = start(ON, make_splits(20), CPU)
    record = run_epoch(state)
    assert batches == [16, 8, 8, 4]  # the first is the check
    plain = start(make_config(), make_splits(20), CPU)
    assert run_epoch(plain).val_loss == record.val_loss
    assert list(state.model.state_dict()) == list(plain.model.state_dict()) == list(state.measured_weights())


def test_without_a_compiler_nothing_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    def compiles(*_: Any, **__: Any) -> Any:
        raise CompilerError("No working C++ compiler found\nand a long traceback")

    monkeypatch.setattr(torch, "compile", compiles)
    with pytest.raises(ConfigError) as caught:
        start(ON, make_splits(20), CPU)
    assert str(caught.value) == (
        "training.compile is true, but torch.compile does not work on this machine: No working C++ compiler found."
        " For the device cpu it needs a C++ compiler (g++ or clang++). Install what is missing (Debian, Ubuntu: apt"
        " install g++), or set training.compile to false."
    )


@pytest.mark.parametrize(
    ("error", "kind"), [(CompilerError("no such operation"), ConfigError), (ValueError("of the network"), ValueError)]
)
def test_an_error_of_the_compiler_in_a_step_is_one_of_the_configuration(
    error: Exception, kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: Tensor) -> Tensor:
        raise error

    monkeypatch.setattr(torch, "compile", lambda network, **_: network if not isinstance(network, nn.Module) else fails)
    state = start(ON, make_splits(20), CPU)
    with pytest.raises(kind, match="cannot compile this network: no such" if kind is ConfigError else "of the"):
        run_epoch(state)


def test_other_errors_pass_and_no_error_is_none() -> None:
    with compile_errors():
        pass
    with pytest.raises(KeyError), compile_errors():
        raise KeyError("x")


def test_configurations_that_do_not_ask_for_it_keep_their_fingerprint() -> None:
    assert "compile" not in hashed(make_config().model_dump(mode="json"), RunConfig)["training"]
    assert hashed(ON.model_dump(mode="json"), RunConfig)["training"]["compile"] is True


@pytest.mark.slow
def test_a_compiled_network_trains_like_the_plain_one() -> None:
    """Needs a C++ compiler."""
    try:
        check_compiler("cpu")
    except ConfigError as error:
        pytest.skip(str(error))
    found = [run_epoch(start(make_config({"training.compile": on}), make_splits(20), CPU)) for on in (False, True)]
    assert found[1].train_loss == pytest.approx(found[0].train_loss, abs=1e-4)
