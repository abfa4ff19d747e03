"""Query of a paged list in OpenAI's format, and the page as it is shown; knows no list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

from msgspec import Struct

from sizewise.errors import BadRequest

Json = dict[str, Any]
ORDER = "order"


class ListQuery(Struct, frozen=True):
    """`after`, `before`: ids of items, or empty. `filters`: the other parameters."""

    limit: int
    newest_first: bool
    after: str
    before: str
    filters: Mapping[str, str]


def read_list_query(
    query_string: bytes,
    *filters: str,
    most: int,
    default: int,
    cursors: Sequence[str] = ("after", "before"),
    order: str = "desc",
) -> ListQuery:
    """`most`, `default`: of `limit`. `order`: if none is asked for. Raises BadRequest for a parameter that does not
    exist, is repeated or invalid.
    """
    known = (*cursors, "limit", ORDER, *filters)
    found: dict[str, str] = {}
    for name, value in parse_qsl(query_string.decode("latin-1"), keep_blank_values=True):
        if name not in known or name in found:
            message = f"{name[:100]!r} is there twice" if name in found else f"there is no parameter {name[:100]!r}"
            raise BadRequest(message, f"known: {', '.join(known)}", param=name[:100])
        found[name] = value
    limit = found.pop("limit", str(default))
    if not limit.isdecimal() or len(limit) > 9 or not 1 <= int(limit) <= most:
        raise BadRequest(f"`limit` is {limit[:50]!r}", f"use a number from 1 to {most:,}", param="limit")
    order = found.pop(ORDER, order)
    if order not in ("asc", "desc"):
        raise BadRequest(f"`order` is {order[:50]!r}", "use asc or desc", param=ORDER)
    after, before = found.pop("after", ""), found.pop("before", "")
    if after and before:
        raise BadRequest("`after` and `before` are both set", "set one of them", param="before")
    return ListQuery(limit=int(limit), newest_first=order == "desc", after=after, before=before, filters=found)


def page_object(data: Sequence[Json], *, has_more: bool) -> Json:
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": has_more,
    }
