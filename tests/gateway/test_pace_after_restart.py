"""Measured paces of models survive a restart of the server: the first request already has a prediction."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.terminal import sizewise
from tests.gateway.server_harness import CHAT
from tests.running_server import ECHO, Served, serving

ONE = {"model": "echo/small", "messages": [{"role": "user", "content": "one two"}]}


def measured(served: Served) -> list[dict[str, float]]:
    found: list[dict[str, float]] = sizewise("models", "show", "echo/small", "--json", home=served.home).json["pace"]
    return found


@pytest.mark.long
def test_the_first_request_after_a_restart_is_refused_by_the_earlier_pace(tmp_path: Path) -> None:
    with serving(tmp_path, ECHO) as served:
        for _ in range(2):
            assert served.chat("echo/small", "one two [[slow 0.3]]").status == 200
        (before,) = measured(served)
    with serving(tmp_path, ECHO) as served:
        (after,) = measured(served)
        refused = served.ask(CHAT, ONE, x_sizewise_max_ms="100")
    assert before["requests"] == after["requests"] == 2
    assert after["firstTokenS"] == pytest.approx(before["firstTokenS"])
    assert refused.status == 422 and "echo/small would take about" in refused.error["message"]


@pytest.mark.long
@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"loads": {"one": 1}}', '{"loads": 7, "length": "x"}'])
def test_a_row_that_cannot_be_read_is_as_if_it_were_not_there(tmp_path: Path, text: str) -> None:
    with serving(tmp_path, ECHO) as served:
        assert served.chat("echo/small").status == 200
    with closing(sqlite3.connect(tmp_path / "sizewise.db")) as database, database:
        assert database.execute("UPDATE model_paces SET figures = ?", (text,)).rowcount == 1
    with serving(tmp_path, ECHO) as served:
        assert measured(served) == []
        assert served.chat("echo/small").status == 200
        assert measured(served)[0]["requests"] == 1


@pytest.mark.long
def test_a_pace_older_than_a_month_is_forgotten(tmp_path: Path) -> None:
    with serving(tmp_path, ECHO) as served:
        assert served.chat("echo/small").status == 200
    with closing(sqlite3.connect(tmp_path / "sizewise.db")) as database, database:
        database.execute("UPDATE model_paces SET updated = updated - 31 * 86400000")
    with serving(tmp_path, ECHO) as served:
        assert measured(served) == []
