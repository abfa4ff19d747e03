"""Generations of a knowledge base: begun by another model, continued after a crash, kept up to date, and dropped."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.graphql.graphql_client import graphql
from tests.knowledge.knowledge_server import REBUILD, add, embed, search, warnings
from tests.knowledge.test_rebuild import LEAVE, OTHER_MODEL, SUNDAY, filled, run
from tests.running_server import Served, serving, until

MOVED = OTHER_MODEL + '[knowledge.handbook]\nembedding_model = "echo/others"\n'
SHOWN = "{ knowledge { name model waiting missing generations { model current ready } } }"


def models(server: Served) -> list[tuple[str, bool, bool]]:
    (base,) = graphql(server, SHOWN).data["knowledge"]
    return [(its["model"], its["current"], its["ready"]) for its in base["generations"]]


def folders(server: Served) -> int:
    """Indexes on the disk."""
    return len(list((server.home / "passages").iterdir()))


@pytest.mark.long
def test_the_old_index_answers_while_the_new_one_is_built_also_by_the_next_server(tmp_path: Path) -> None:
    with filled(tmp_path):
        pass
    with serving(tmp_path, MOVED) as server:
        step = graphql(server, REBUILD, base="handbook").data["rebuildKnowledge"]
        assert (step["missing"], step["previousModel"], step["model"]) == (2, "echo/vectors", "echo/others")
        assert models(server) == [("echo/vectors", True, True), ("echo/others", False, False)]
        assert {each["text"] for each in search(server, "holidays")} == {LEAVE, SUNDAY}
        assert "echo/vectors answers until all passages are embedded" in warnings(server, "holidays")[0]
        assert "echo/vectors, echo/others (being built)" in run(server, "list").out
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait(60)
    with serving(tmp_path, MOVED) as server:  # goes on by itself, and drops what nothing names
        until(lambda: graphql(server, SHOWN).data["knowledge"][0]["model"] == "echo/others")
        assert {each["text"] for each in search(server, "holidays")} == {LEAVE, SUNDAY}
        assert warnings(server, "holidays") == []
    with serving(tmp_path, MOVED) as server:
        until(lambda: models(server) == [("echo/others", True, True)])
        assert folders(server) == 1
        add(server, "dogs.md", "Dogs are welcome.")
        assert embed(server) == 1
        assert run(server, "rebuild", "handbook", "--all").out == "handbook: 3 passages embedded\n"
        assert len(search(server, "holidays")) == 3
        assert run(server, "remove", "handbook", "--all").code == 0
        until(lambda: folders(server) == 0)


@pytest.mark.long
def test_a_generation_whose_model_is_gone_stops_no_other_and_is_dropped_with_what_it_holds(tmp_path: Path) -> None:
    with filled(tmp_path):
        pass
    only = MOVED.replace('"vectors", ', "").replace('[models."echo/vectors"]\ntask = "embed"\n', "")
    with serving(tmp_path, only) as server:
        # The old model cannot embed a query any more, so what is embedded of the new one answers.
        assert run(server, "rebuild", "handbook").code == 0
        add(server, "dogs.md", "Dogs are welcome.")
        assert embed(server) == 1
        assert len(search(server, "holidays")) == 3
    with serving(tmp_path, only) as server:
        until(lambda: models(server) == [("echo/others", True, True)])
        assert folders(server) == 1


@pytest.mark.long
def test_readers_that_a_document_loses_find_it_in_no_generation(tmp_path: Path) -> None:
    create = 'mutation { createKey(name: "reader", permissions: [ask]) { secret key { id } } }'
    with filled(tmp_path):
        pass
    with serving(tmp_path, MOVED) as server:
        made = graphql(server, create).data["createKey"]
        add(server, "wages.md", "Wages rise in May.", readers=[f"key:{made['key']['id']}"])
        embed(server)
        for seen in (True, False):
            for model in ("others", "vectors"):
                config = MOVED.replace('model = "echo/others"', f'model = "echo/{model}"')
                (tmp_path / "sizewise.toml").write_text(config)
                assert graphql(server, "mutation { reload { models } }").errors == []
                found = [each["text"] for each in search(server, "wages", key=made["secret"])]
                assert ("Wages rise in May." in found, LEAVE in found) == (seen, True)
            add(server, "wages.md", "Wages rise in May.", readers=["key:nobody"])
            embed(server)
