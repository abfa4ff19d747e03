"""Runs of a restored database go on, whatever became of the flow engine's own database in the meantime."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.cli.terminal import sizewise
from tests.graphql.graphql_client import graphql
from tests.running_server import ECHO, Served, serving, until

GATE = """
name: gate
inputs: {question: text}
nodes:
  say: {kind: ask, model: echo/small, prompt: "{{ inputs.question }}"}
  may: {kind: approve, question: "Send it?", after: [say]}
  sent: {kind: template, text: "sent {{ inputs.question }}", after: [may]}
outputs: {answer: "{{ sent.text }}"}
"""


def state(server: Served, run: str) -> str:
    found: Any = graphql(server, "query($id: String!) { flowRun(id: $id) { state } }", id=run).data
    return str(found["flowRun"]["state"])


def paid(server: Served) -> int:
    found: Any = graphql(server, "{ records(last: 50) { rows { endpoint } } }").data
    return len(found["records"]["rows"])


def begin(server: Served, words: str) -> str:
    start = 'mutation($i: JSON!) { startFlowRun(flow: "gate", inputs: $i) { id } }'
    answer = graphql(server, start, key=server.key, i={"question": words})  # another than the one that decides
    assert answer.errors == []
    run = str(answer.data["startFlowRun"]["id"])
    until(lambda: state(server, run) == "waiting")
    return run


def copied(home: Path, name: str, target: Path) -> None:
    with closing(sqlite3.connect(home / name)) as read, closing(sqlite3.connect(target)) as written:
        read.backup(written)


def home_of(folder: Path) -> Path:
    (folder / "flows").mkdir(parents=True)
    (folder / "flows" / "gate.yaml").write_text(GATE)
    return folder


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A folder with a database in which a run waits, the engine's database from before and after, and the run."""
    folder = tmp_path_factory.mktemp("kept")
    with serving(home_of(folder / "home"), ECHO) as server:
        begin(server, "an earlier one")
        copied(server.home, "flows.db", folder / "older.db")
        run = begin(server, "hi")
        assert paid(server) == 2  # and written, since it is read
        copied(server.home, "sizewise.db", folder / "sizewise.db")
        copied(server.home, "flows.db", folder / "same.db")
        assert sizewise("flow", "decide", run, "may", "yes", home=server.home).code == 0
        until(lambda: state(server, run) == "done")
        copied(server.home, "flows.db", folder / "ended.db")
    shutil.copy(folder / "home" / "vault.key", folder)
    yield folder, run


@pytest.mark.long
@pytest.mark.parametrize("engine", ["missing", "same", "older", "ended"])
def test_a_restored_run_that_waits_can_be_decided(kept: tuple[Path, str], tmp_path: Path, engine: str) -> None:
    folder, run = kept
    home = home_of(tmp_path / "home")
    shutil.copy(folder / "sizewise.db", home)
    shutil.copy(folder / "vault.key", home)
    if engine != "missing":
        shutil.copy(folder / f"{engine}.db", home / "flows.db")
    with serving(home, ECHO) as server:
        until(lambda: state(server, run) == "waiting")
        assert sizewise("flow", "decide", run, "may", "yes", home=home).code == 0
        until(lambda: state(server, run) == "done")
        assert paid(server) == 2, "the step before the question was not paid for again"
