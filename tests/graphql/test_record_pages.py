"""Records page by page: each once, newest first, whatever is recorded meanwhile."""

from __future__ import annotations

from typing import Any

import pytest

from tests.graphql.graphql_client import graphql
from tests.running_server import Served

PAGE = """query($before: String) {
    records(last: 3, tag: "paged", before: $before) { trace spanId } }"""


def page(server: Served, before: str | None = None) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = graphql(server, PAGE, before=before).data["records"]
    return rows


def test_the_next_page_begins_behind_the_last_record_of_this_one(echo: Served) -> None:
    for place in range(7):
        assert echo.chat("echo/small", f"{place}", sizewise={"tags": ["paged"]}).status == 200
    found = page(echo)
    assert echo.chat("echo/small", "meanwhile", sizewise={"tags": ["paged"]}).status == 200
    while len(found) < 7:
        found += page(echo, found[-1]["spanId"])
    assert len({each["spanId"] for each in found}) == 7 and page(echo, found[-1]["spanId"]) == []


@pytest.mark.parametrize("before", ["x", "-1", "f" * 16, "0" * 40 + "g"])
def test_what_is_no_span_id_is_refused(echo: Served, before: str) -> None:
    done = graphql(echo, PAGE, before=before)
    assert "no span id" in str(done.errors)
