"""Model list in Anthropic's format: entries and pages of them, newest first; knows no application and no key.

Source: the Anthropic API reference, Models, and its Python library 2.13.0.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import parse_qs

from sizewise.errors import BadRequest
from sizewise.gateway.listed_model import ListedModel

DEFAULT_LIMIT, MAX_LIMIT = 20, 1_000
"""Entries on a page, as in Anthropic's API."""


def entry(model: ListedModel) -> dict[str, object]:
    """One model. What the API has and we do not know is null."""
    created = datetime.fromtimestamp(model.created, UTC)
    return {
        "type": "model",
        "id": model.id,
        "display_name": model.title,
        "created_at": created.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "lifecycle": "active",
        "deprecated_at": None,
        "retires_at": None,
        "line": None,
        "capabilities": None,
        "max_input_tokens": model.context,
        "max_tokens": model.max_output,
    }


def page(models: Sequence[ListedModel], query_string: bytes) -> dict[str, object]:
    """A page of `limit` entries: the first, those after `after_id`, or the last before `before_id`. Raises BadRequest.

    `has_more` is about the direction of the page, as in the API.
    """
    query = parse_qs(query_string.decode("latin-1"), keep_blank_values=True)
    limit = _limit(query)
    ordered = sorted(models, key=lambda model: -model.created)
    after, before = _place(ordered, query, "after_id"), _place(ordered, query, "before_id")
    if after is not None and before is not None:
        raise BadRequest("`after_id` and `before_id` exclude each other", "send one of them", param="before_id")
    if before is not None:
        first = max(0, before - limit)
        shown, has_more = ordered[first:before], first > 0
    else:
        first = 0 if after is None else after + 1
        shown, has_more = ordered[first : first + limit], first + limit < len(ordered)
    return {
        "data": [entry(model) for model in shown],
        "first_id": shown[0].id if shown else None,
        "last_id": shown[-1].id if shown else None,
        "has_more": has_more,
    }


def _limit(query: dict[str, list[str]]) -> int:
    said = query.get("limit", [str(DEFAULT_LIMIT)])[-1]
    if not (said.isascii() and said.isdigit() and len(said) < 10 and 1 <= int(said) <= MAX_LIMIT):
        raise BadRequest(f"`limit` is {said[:40]!r}", f"send a number from 1 to {MAX_LIMIT}", param="limit")
    return int(said)


def _place(models: Sequence[ListedModel], query: dict[str, list[str]], name: str) -> int | None:
    """The index of the model that the cursor `name` names; None without one."""
    if name not in query:
        return None
    id = query[name][-1]
    for number, model in enumerate(models):
        if model.id == id:
            return number
    hint = "send the `last_id` or `first_id` of a page, or begin again without it"
    raise BadRequest(f"`{name}`: there is no model {id[:200]!r} in this list", hint, param=name)
