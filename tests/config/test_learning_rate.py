"""All learning rates of a configuration change by one factor, and nothing else does."""

from __future__ import annotations

from typing import Any

import pytest
from tiny import make_config

from regstudy.config.learning_rate import learning_rates, with_rate_times
from regstudy.errors import ConfigError

EPOCHS = {"training": {"epochs": 1}}


@pytest.mark.parametrize(
    ("phases", "rates"),
    [
        ([], [0.01]),
        ([EPOCHS, {"regularization": {"l2": 0.1}}], [0.01]),
        ([{"optimizer": {"lr": 0.2}}, EPOCHS], [0.2, 0.01]),
        ([EPOCHS, {"optimizer": {"beta1": 0.8}}], [0.01]),  # it has the rate of all phases
        ([EPOCHS, {"optimizer": {"name": "sgd", "lr": 0.5}}], [0.01, 0.5]),
        ([EPOCHS, {"optimizer": {"name": "sgd"}}], [0.01, 0.05]),  # a section with a name has a rate by default
    ],
)
@pytest.mark.parametrize("factor", [1 / 3, 1.0, 3.0])
def test_every_phase_has_the_factor(phases: list[dict[str, Any]], rates: list[float], factor: float) -> None:
    config = make_config({"phases": phases})
    assert learning_rates(config) == rates
    changed = with_rate_times(config, factor)
    assert learning_rates(changed) == [factor * rate for rate in rates]
    for before, after in zip(config.in_phases(), changed.in_phases(), strict=True):
        assert after.replaced({"optimizer.lr": before.optimizer.lr}) == before.replaced({})


@pytest.mark.parametrize(("rate", "factor"), [(1e308, 3.0), (5e-324, 1 / 3)])
def test_what_is_no_rate_is_an_error(rate: float, factor: float) -> None:
    with pytest.raises(ConfigError, match=r"optimizer\.lr"):
        with_rate_times(make_config({"optimizer.lr": rate}), factor)
