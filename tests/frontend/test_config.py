"""Global settings."""

from __future__ import annotations

import pytest

from graphc.frontend import config


def test_defaults() -> None:
    assert config.backend() == "graphc"
    assert config.epsilon() == 1e-7
    assert config.floatx() == "float32"
    assert config.image_data_format() == "channels_last"


def test_epsilon() -> None:
    config.set_epsilon(1e-5)
    try:
        assert config.epsilon() == 1e-5
    finally:
        config.set_epsilon(1e-7)
    with pytest.raises(ValueError, match=r"Expected a positive number.*value=0"):
        config.set_epsilon(0)


def test_image_data_format() -> None:
    config.set_image_data_format("channels_first")
    try:
        assert config.standardize_data_format(None) == "channels_first"
        assert config.standardize_data_format("channels_last") == "channels_last"
    finally:
        config.set_image_data_format("channels_last")
    with pytest.raises(ValueError, match="Received: data_format='channels'"):
        config.set_image_data_format("channels")


@pytest.mark.parametrize("setting", ["interactive_logging", "traceback_filtering"])
def test_switches(setting: str) -> None:
    is_enabled = getattr(config, f"is_{setting}_enabled")
    before = is_enabled()
    getattr(config, f"disable_{setting}")()
    assert not is_enabled()
    getattr(config, f"enable_{setting}")()
    assert is_enabled()
    if not before:
        getattr(config, f"disable_{setting}")()
