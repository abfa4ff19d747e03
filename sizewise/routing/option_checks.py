"""What the options of policies are checked by; knows no policy and no default."""

from __future__ import annotations

from sizewise.errors import ConfigError


def among(option: str, model: str, models: tuple[str, ...]) -> None:
    """Raises ConfigError where `models` are named and `model` is none of them."""
    if model and models and model not in models:
        raise ConfigError(f"policy option `{option}` is {model!r}, which is not among `models`", "name it there too")


def within(option: str, value: float, least: float, most: float) -> None:
    """Raises ConfigError unless least <= value <= most."""
    if not least <= value <= most:
        raise ConfigError(f"policy option `{option}` is {value!r}", f"choose a number from {least:g} to {most:g}")
