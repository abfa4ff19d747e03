"""One entry of the model list with its creation time, for a model, an alias, a role or a flow; knows no format."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from sizewise.catalog.loader import weights_path
from sizewise.catalog.release_date import first_second
from sizewise.model_card import ModelCard


class ListedModel(Struct, frozen=True):
    """`created`: Unix seconds. `details`: our own facts; empty for names without any. Tokens; None: unknown."""

    id: str
    owner: str
    created: int
    title: str
    details: dict[str, object] = {}
    context: int | None = None
    max_output: int | None = None


def listed_card(card: ModelCard, cache: Path, started_at: float) -> ListedModel:
    """The entry of a model. `started_at`: when the server started, Unix seconds."""
    return ListedModel(
        id=card.name,
        owner=card.endpoint.provider,
        created=created_at(card, cache, started_at),
        title=card.title or card.model,
        details={"context": card.context, "size": card.size, "place": card.place, "tools": card.tools},
        context=card.context,
        max_output=card.max_output,
    )


def created_at(card: ModelCard, cache: Path, started_at: float) -> int:
    """Unix seconds: the vendor's release date, else the date of the weights file, else when the server started."""
    if card.release_date:
        return first_second(card.release_date)
    if card.weights is not None:
        try:
            return int(weights_path(card.weights, cache).stat().st_mtime)
        except OSError:  # removed while the server runs
            pass
    return int(started_at)
