"""`training.deterministic`: what holds during a run, what holds afterwards, and what is refused."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

import pytest
import torch
from tiny import CPU, make_config, make_splits
from torch import nn

from regstudy.config.fingerprint import fingerprint, hashed
from regstudy.config.run_config import RunConfig
from regstudy.errors import ConfigError
from regstudy.models.svhn_vgg import FEATURE_MAP_SIDE, svhn_vgg
from regstudy.training.determinism import REPEATABLE, WORKSPACE, prepare_cublas, repeatable
from regstudy.training.run import run

GPU = torch.device("cuda:1")
WANTED = {"training.deterministic": True}
PHASES = {"phases": [{}, {"training": {"deterministic": True}}]}


def settings() -> tuple[bool, ...]:
    cudnn = torch.backends.cudnn
    return torch.are_deterministic_algorithms_enabled(), cudnn.deterministic, cudnn.benchmark


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process that has used the GPU before, with the user's own settings of torch."""
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.delenv(WORKSPACE, raising=False)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    yield
    torch.backends.cudnn.benchmark = False


@pytest.mark.usefixtures("begun")
@pytest.mark.parametrize("changes", [WANTED, PHASES])
def test_the_settings_hold_within_a_run_and_are_as_before_after_it(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, object]
) -> None:
    monkeypatch.setenv(WORKSPACE, REPEATABLE[1])
    before = settings()
    with suppress(KeyboardInterrupt), repeatable(make_config(changes), GPU):
        assert settings() == (True, True, False)
        raise KeyboardInterrupt
    assert settings() == before == (False, False, True)


@pytest.mark.usefixtures("begun")
@pytest.mark.parametrize(("changes", "device"), [({}, GPU), ({}, CPU), (WANTED, CPU)])
def test_nothing_is_changed_where_it_is_not_asked_for_or_not_needed(
    changes: dict[str, object], device: torch.device
) -> None:
    with repeatable(make_config(changes), device):
        assert settings() == (False, False, True)


@pytest.mark.usefixtures("begun")
@pytest.mark.parametrize(("given", "words"), [(None, "is not set"), (":0:0", "is ':0:0'")])
def test_it_is_said_when_it_is_too_late_for_cublas(
    monkeypatch: pytest.MonkeyPatch, given: str | None, words: str
) -> None:
    if given is not None:
        monkeypatch.setenv(WORKSPACE, given)
    with pytest.raises(ConfigError, match=f"{WORKSPACE} {words}.*export"), repeatable(make_config(WANTED), GPU):
        raise AssertionError("it must not come to this")


@pytest.mark.parametrize("given", [None, ":16:8", ":0:0"])
def test_the_workspace_is_set_before_cuda_begins_and_the_users_own_stays(
    monkeypatch: pytest.MonkeyPatch, given: str | None
) -> None:
    monkeypatch.setenv(WORKSPACE, "")  # so that it is as before afterwards
    monkeypatch.delenv(WORKSPACE) if given is None else monkeypatch.setenv(WORKSPACE, given)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    prepare_cublas()
    assert os.environ[WORKSPACE] == (given or REPEATABLE[0])


@pytest.mark.usefixtures("begun")
def test_an_operation_without_a_deterministic_version_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WORKSPACE, REPEATABLE[0])
    with pytest.raises(ConfigError) as error, repeatable(make_config(WANTED), GPU):
        torch.zeros(4).put_(torch.tensor([0, 0]), torch.tensor([1.0, 2.0]))
    assert "the operation put_ has no deterministic version on cuda (" in str(error.value)
    assert "test_determinism.py, line" in str(error.value) and "training.deterministic=false" in str(error.value)
    assert settings() == (False, False, True)


@pytest.mark.usefixtures("begun")
def test_any_other_error_passes_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WORKSPACE, REPEATABLE[0])
    with pytest.raises(RuntimeError, match="of the user"), repeatable(make_config(WANTED), GPU):
        raise RuntimeError("of the user")


def test_on_a_cpu_the_curve_is_the_same_to_the_bit() -> None:
    def losses(changes: dict[str, object]) -> list[tuple[float, float]]:
        records = run(make_config(changes), make_splits(), CPU).result.records
        return [(record.train_loss, record.val_loss) for record in records]

    assert losses({}) == losses(WANTED)


def test_a_study_made_before_has_the_same_fingerprint() -> None:
    def of(changes: dict[str, object]) -> str:
        return fingerprint(hashed(make_config(changes).model_dump(mode="json"), RunConfig))

    assert of({}) == of({"training.deterministic": False}) != of(WANTED)


@pytest.mark.parametrize("side", [12, 28, 32, 36, 56, 84, 112])
def test_the_pooling_of_svhn_vgg_is_adaptive_pooling_to_the_bit(side: int) -> None:
    images = torch.randn(4, 128, side // 4, side // 4, generator=torch.Generator().manual_seed(side))
    own, adaptive = images.clone().requires_grad_(), images.clone().requires_grad_()
    with torch.device("meta"):
        pooling = svhn_vgg(3, side, 10).get_submodule("pool3")
    found, expected = pooling(own), nn.AdaptiveAvgPool2d(FEATURE_MAP_SIDE)(adaptive)
    found.square().sum().backward()
    expected.square().sum().backward()
    assert torch.equal(found, expected) and own.grad is not None and adaptive.grad is not None
    assert torch.equal(own.grad, adaptive.grad)
    assert isinstance(pooling, nn.AvgPool2d) == (side in (28, 32, 56, 112))
