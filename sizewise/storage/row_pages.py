"""Pages of rows by their number, after or before a cursor, in either order; knows no table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from msgspec import Struct
from sqlalchemy import Select
from sqlalchemy.sql.elements import ColumnElement

T = TypeVar("T")
Query = TypeVar("Query", bound=Select[Any])


class RowPage(Struct, frozen=True):
    """`after`, `before`: the number of a row that the page follows or precedes."""

    newest_first: bool = True
    after: int | None = None
    before: int | None = None
    limit: int = 20


def page_query(query: Query, number: ColumnElement[int], page: RowPage) -> Query:
    """Rows nearest to the cursor first; `in_page_order` puts them in the page's order."""
    descending = page.newest_first is (page.before is None)
    if page.after is not None:
        query = query.where(number < page.after if page.newest_first else number > page.after)
    if page.before is not None:
        query = query.where(number > page.before if page.newest_first else number < page.before)
    return query.order_by(number.desc() if descending else number).limit(page.limit)


def in_page_order(rows: Sequence[T], page: RowPage) -> list[T]:
    return list(rows) if page.before is None else list(rows)[::-1]
