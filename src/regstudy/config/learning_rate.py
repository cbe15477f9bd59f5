"""The learning rates of a configuration, and the configuration with all of them larger or smaller by a factor."""

from __future__ import annotations

from regstudy.config.run_config import RunConfig, parse_config, set_path

LEARNING_RATE = "optimizer.lr"


def learning_rates(config: RunConfig) -> list[float]:
    """Those of its phases in order, each once; just one where all phases share it."""
    return list(dict.fromkeys(phase.optimizer.lr for phase in config.in_phases()))


def with_rate_times(config: RunConfig, factor: float) -> RunConfig:
    """A copy whose learning rate is ``factor`` times as large, in every phase; schedules are shares of it.

    Raises ConfigError if this is no learning rate.
    """
    if factor == 1:
        return config
    tree = config.model_dump(mode="json")
    set_path(tree, LEARNING_RATE, factor * config.optimizer.lr)
    for changes, phase in zip(tree["phases"], config.in_phases(), strict=False):  # without phases it is one itself
        if {"lr", "name"} & changes.get("optimizer", {}).keys():  # else it has the rate that has just been set
            set_path(changes, LEARNING_RATE, factor * phase.optimizer.lr)
    return parse_config(tree, "the configuration with another learning rate")
