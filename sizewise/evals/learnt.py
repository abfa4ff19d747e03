"""The file that a learnt router lies in, read for the models of a house; knows no policy."""

from __future__ import annotations

from pathlib import Path

from sizewise.cards import Card
from sizewise.errors import BadRequest, ConfigError
from sizewise.routing.foresight import Foresight
from sizewise.routing.quality import read


def learned(path: Path | None, cards: tuple[Card, ...]) -> Foresight | None:
    """Raises ConfigError for a file that cannot be read, was not written by `router train`, or knows other models."""
    if path is None:
        return None
    try:
        return Foresight(read(path.read_bytes()), cards)
    except OSError as error:
        raise ConfigError(f"router.learned: cannot read {str(path)!r}: {error.strerror}", "check its path") from error
    except BadRequest as error:
        raise ConfigError(f"router.learned: {str(path)!r}: {error.message}", error.hint) from error
