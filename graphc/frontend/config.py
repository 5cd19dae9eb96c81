"""Global settings that users read and set: dtypes, epsilon, data format, logging."""

from __future__ import annotations

from dataclasses import dataclass

from graphc.frontend.arguments import one_of
from graphc.frontend.dtype_policies import dtype_policy, set_dtype_policy
from graphc.frontend.dtypes import floatx, set_floatx

__all__ = [
    "backend",
    "disable_interactive_logging",
    "disable_traceback_filtering",
    "dtype_policy",
    "enable_interactive_logging",
    "enable_traceback_filtering",
    "epsilon",
    "floatx",
    "image_data_format",
    "is_interactive_logging_enabled",
    "is_traceback_filtering_enabled",
    "set_dtype_policy",
    "set_epsilon",
    "set_floatx",
    "set_image_data_format",
    "standardize_data_format",
]

DATA_FORMATS = ("channels_last", "channels_first")


@dataclass
class _Settings:
    epsilon: float = 1e-7
    image_data_format: str = "channels_last"
    interactive_logging: bool = True
    traceback_filtering: bool = True


_settings = _Settings()


def backend() -> str:
    """The name of the backend, which is ``"graphc"``."""
    return "graphc"


def epsilon() -> float:
    """The small number that keeps divisions and logarithms finite, 1e-7."""
    return _settings.epsilon


def set_epsilon(value: float) -> None:
    """Sets `epsilon`.

    Args:
        value: A positive number.

    Raises:
        ValueError: If it is not positive.
    """
    if not value > 0:
        raise ValueError(f"Expected a positive number. Received: value={value}")
    _settings.epsilon = float(value)


def image_data_format() -> str:
    """Where images have their channels: ``"channels_last"`` unless it was set."""
    return _settings.image_data_format


def set_image_data_format(data_format: str) -> None:
    """Sets where images have their channels.

    Args:
        data_format: ``"channels_last"`` or ``"channels_first"``.

    Raises:
        ValueError: If it is neither.
    """
    _settings.image_data_format = standardize_data_format(data_format)


def standardize_data_format(data_format: str | None) -> str:
    """`data_format` after checking it; the global one for None.

    Raises:
        ValueError: If it is neither ``"channels_last"`` nor ``"channels_first"``.
    """
    if data_format is None:
        return _settings.image_data_format
    return one_of("data_format", data_format, DATA_FORMATS)


def enable_interactive_logging() -> None:
    """Makes progress go to the terminal as bars."""
    _settings.interactive_logging = True


def disable_interactive_logging() -> None:
    """Makes progress go to the logger."""
    _settings.interactive_logging = False


def is_interactive_logging_enabled() -> bool:
    """Whether progress goes to the terminal as bars."""
    return _settings.interactive_logging


def enable_traceback_filtering() -> None:
    """Leaves graphc's own frames out of tracebacks."""
    _settings.traceback_filtering = True


def disable_traceback_filtering() -> None:
    """Keeps graphc's own frames in tracebacks."""
    _settings.traceback_filtering = False


def is_traceback_filtering_enabled() -> bool:
    """Whether graphc's own frames are left out of tracebacks."""
    return _settings.traceback_filtering
