"""A server of two gateway workers and a store process: both answer, and what they recorded and counted is one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tests.gateway.server_harness import rows
from tests.graphql.graphql_client import graphql
from tests.running_server import ECHO, Served, serving
from tests.workers.processes import at_once, counted


def processes(server: Served) -> set[int]:
    """The numbers of the processes that recorded requests."""
    return {row["id"] & 1023 for row in rows(server.home, "SELECT id FROM records")}


def test_both_workers_answer_and_all_records_and_metrics_are_on_one_page(tmp_path: Path) -> None:
    with serving(tmp_path, ECHO.replace("[server]", "[server]\nworkers = 2")) as server:
        met = Counter[int]()
        while not {1, 2} <= processes(server):
            met.update(each.status for each in at_once(lambda n: server.chat("echo/small", f"Hello {n}"), 16))
            graphql(server, "{ records(last: 1) { rows { trace } } }")  # has both write theirs
        assert set(met) == {200}
        assert counted(server) == met.total()
        assert rows(server.home, "SELECT COUNT(*) AS n FROM records WHERE door = 'chat'")[0]["n"] == met.total()
