"""Validation of policy options: value ranges and references to models. Knows no policy and no default."""

from __future__ import annotations

from sizewise.errors import ConfigError


def require_one_of(option: str, model: str, models: tuple[str, ...]) -> None:
    """Raises ConfigError if `models` is not empty and does not contain `model`."""
    if model and models and model not in models:
        raise ConfigError(
            f"the policy option `{option}` is {model!r}, which is not among `models`", "add it to `models`"
        )


def require_range(option: str, value: float, minimum: float, maximum: float) -> None:
    """Raises ConfigError unless minimum <= value <= maximum."""
    if not minimum <= value <= maximum:
        raise ConfigError(f"the policy option `{option}` is {value!r}", f"use a number from {minimum:g} to {maximum:g}")
