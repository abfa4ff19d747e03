"""Vectors that are gone are missed at once: at start, in lists, in searches and by `doctor`; and are embedded again."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cli.terminal import Done, sizewise
from tests.graphql.graphql_client import graphql
from tests.knowledge.knowledge_server import (
    BASES,
    CONFIG,
    EMBED,
    REBUILD,
    add,
    embed,
    listed,
    refused,
    search,
    warnings,
)
from tests.running_server import Served, serving, until

LEAVE = "Everybody has thirty days of holidays."
SUNDAY = "Nobody works on Sundays."
GONE = "of 'handbook' are missing from the vector store"
OTHER_MODEL = CONFIG.replace('"vectors"]', '"vectors", "others"]') + '[models."echo/others"]\ntask = "embed"\n'


def run(server: Served, *words: str) -> Done:
    return sizewise("knowledge", *words, home=server.home)


def missing(server: Served, base: str = "handbook") -> Any:
    return {its["name"]: its["missing"] for its in graphql(server, BASES).data["knowledge"]}[base]


def finds(server: Served) -> list[str]:
    return [its["text"] for its in search(server, "holidays on Sundays", mode="words")]


def doctor(home: Path) -> list[tuple[bool, str, str]]:
    done = sizewise("doctor", "--json", home=home)
    return [(its["ok"], its["found"], its["next"]) for its in done.json["checks"] if its["check"] == "knowledge"]


@contextmanager
def filled(home: Path, config: str = CONFIG) -> Iterator[Served]:
    """A server with two documents in its base."""
    with serving(home, config) as server:
        add(server, "leave.md", LEAVE)
        add(server, "sunday.md", SUNDAY)
        assert embed(server) == 2
        yield server


@pytest.mark.long
def test_vectors_that_are_gone_are_missed_and_come_back(tmp_path: Path) -> None:
    with filled(tmp_path):
        pass
    shutil.rmtree(tmp_path / "passages")
    ((well, found, then),) = doctor(tmp_path)
    assert not well and "'handbook'" in found and "sizewise knowledge rebuild handbook" in then
    with serving(tmp_path, CONFIG) as server:
        until(lambda: any(f"2 of 2 passages {GONE}" in line for line in server.said))
        assert missing(server) == 2
        told = run(server, "list")
        assert "sizewise knowledge rebuild handbook" in told.err
        ((well, found, then),) = doctor(tmp_path)
        assert not well and "2" in found and then == "sizewise knowledge rebuild handbook"
        asked = run(server, "search", "handbook", "holidays", "--mode", "words")
        assert asked.code == 1 and f"2 of 2 passages {GONE}" in asked.err
        assert "sizewise knowledge rebuild handbook" in run(server, "search", "handbook", "holidays", "--json").out
        planned = run(server, "rebuild", "--dry-run")
        assert planned.out == "handbook: 2 of 2 passages would be embedded again\n", planned.err
        assert missing(server) == 2, "a dry run changes nothing"
        assert run(server, "rebuild").out == "handbook: 2 passages embedded\n"
        assert sorted(finds(server)) == sorted([LEAVE, SUNDAY])
        assert warnings(server, "holidays") == []
        assert missing(server) == 0
        assert doctor(tmp_path) == [(True, "1 knowledge base, no passage is missing", "")]
        assert run(server, "rebuild").out == "no knowledge base lacks passages\n"
        assert run(server, "rebuild", "handbook").out == "handbook: nothing is missing\n"
        graphql_audit = graphql(server, "{ audit(last: 20) { action resource } }").data["audit"]
        assert {"action": "knowledge.rebuild", "resource": "knowledge:default/handbook"} in graphql_audit


@pytest.mark.long
def test_files_deleted_under_a_running_server_are_missed(tmp_path: Path) -> None:
    with filled(tmp_path) as server:
        shutil.rmtree(tmp_path / "passages")
        assert missing(server) == 2
        assert finds(server) == []
        assert f"2 of 2 passages {GONE}" in warnings(server, "holidays")[0]
        assert run(server, "rebuild", "handbook", "--json").json == [
            {
                "base": "handbook",
                "passages": 2,
                "missing": 2,
                "embedded": 2,
                "model": "echo/vectors",
                "previousModel": "echo/vectors",
            }
        ]
        assert sorted(finds(server)) == sorted([LEAVE, SUNDAY])


@pytest.mark.long
def test_only_what_an_older_backup_lacks_is_embedded_again(tmp_path: Path) -> None:
    with serving(tmp_path, CONFIG) as server:
        add(server, "leave.md", LEAVE)
        embed(server)
    shutil.copytree(tmp_path / "passages", tmp_path / "backup")
    with serving(tmp_path, CONFIG) as server:
        add(server, "sunday.md", SUNDAY)
        embed(server)
    shutil.rmtree(tmp_path / "passages")
    (tmp_path / "backup").rename(tmp_path / "passages")
    with serving(tmp_path, CONFIG) as server:
        assert missing(server) == 1
        assert finds(server) == [LEAVE]
        assert f"1 of 2 passages {GONE}" in warnings(server, "holidays")[0]
        beyond = graphql(server, REBUILD, base="handbook", after="g").data["rebuildKnowledge"]
        assert (beyond["checked"], beyond["missing"], beyond["next"]) == (0, 0, "")
        assert run(server, "rebuild", "handbook").out == "handbook: 1 passage embedded\n"
        assert missing(server) == 0
        assert sorted(finds(server)) == sorted([LEAVE, SUNDAY])


@pytest.mark.long
def test_a_rebuild_that_was_killed_is_continued_by_the_next_server(tmp_path: Path) -> None:
    with filled(tmp_path):
        pass
    shutil.rmtree(tmp_path / "passages")
    with serving(tmp_path, CONFIG) as server:
        step = graphql(server, REBUILD, base="handbook").data["rebuildKnowledge"]
        assert (step["missing"], step["next"]) == (2, "")
        assert "2 of 2 passages of 'handbook' still wait" in warnings(server, "holidays")[0]
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait(60)
    with serving(tmp_path, CONFIG) as server:
        until(lambda: {its["state"] for its in listed(server)} == {"ready"})
        assert sorted(finds(server)) == sorted([LEAVE, SUNDAY])


@pytest.mark.long
def test_a_base_moves_to_another_embedding_model(tmp_path: Path) -> None:
    with filled(tmp_path):
        pass
    moved = OTHER_MODEL + '[knowledge.handbook]\nembedding_model = "echo/others"\n'
    with serving(tmp_path, moved) as server:
        planned = run(server, "rebuild", "handbook", "--dry-run")
        assert planned.out.endswith("2 of 2 passages would be embedded again by echo/others instead of echo/vectors\n")
        assert graphql(server, BASES).data["knowledge"][0]["model"] == "echo/vectors"
        assert run(server, "rebuild", "handbook").out.startswith("handbook: 2 passages embedded by echo/others")
        assert graphql(server, BASES).data["knowledge"][0]["model"] == "echo/others"
        assert sorted(finds(server)) == sorted([LEAVE, SUNDAY])


@pytest.mark.long
def test_all_passages_are_embedded_again_if_asked(tmp_path: Path) -> None:
    with filled(tmp_path) as server:
        assert run(server, "rebuild", "handbook", "--all").out == "handbook: 2 passages embedded\n"
        assert sorted(finds(server)) == sorted([LEAVE, SUNDAY])
        refused = run(server, "rebuild", "--all")
        assert refused.code == 2 and "name the knowledge base" in refused.err


def test_a_base_that_is_none_is_not_rebuilt(tmp_path: Path) -> None:
    with serving(tmp_path, CONFIG) as server:
        for name in ("hand book", "", "../x", "x" * 65, "nothing"):
            assert graphql(server, REBUILD, base=name).code in ("bad_request", "not_found")
        assert run(server, "rebuild", "nothing").code == 2


@pytest.mark.long
def test_who_may_only_search_cannot_rebuild_and_is_warned(tmp_path: Path) -> None:
    create = 'mutation { createKey(name: "reader", permissions: [ask]) { secret } }'
    with filled(tmp_path):
        pass
    shutil.rmtree(tmp_path / "passages")
    with serving(tmp_path, CONFIG) as server:
        key = graphql(server, create).data["createKey"]["secret"]
        assert graphql(server, REBUILD, key=key, base="handbook").code == "forbidden"
        assert GONE in warnings(server, "holidays", key=key)[0]


@pytest.mark.long
def test_agents_and_flows_are_told_that_passages_are_missing(tmp_path: Path) -> None:
    flow = "name: look\nnodes:\n  found: {kind: search, knowledge: handbook, query: holidays, mode: words}\n"
    (tmp_path / "flows").mkdir(parents=True)
    (tmp_path / "flows" / "look.yaml").write_text(flow + 'outputs: {warnings: "{{ found.warnings }}"}\n')
    with filled(tmp_path):
        pass
    shutil.rmtree(tmp_path / "passages")
    with serving(tmp_path, CONFIG) as server:
        call = {"name": "search_handbook", "arguments": {"query": "holidays"}}
        asked: Any = server.ask("/mcp", {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call})
        assert GONE in asked.json["result"]["content"][0]["text"]
        done = sizewise("flow", "run", "look", "--json", home=tmp_path)
        assert GONE in done.out, done.err


@pytest.mark.long
def test_rebuilds_at_once_while_documents_come_and_go_lose_and_double_nothing(tmp_path: Path) -> None:
    with filled(tmp_path):
        pass
    shutil.rmtree(tmp_path / "passages")
    with serving(tmp_path, CONFIG) as server, ThreadPoolExecutor(8) as pool:
        more = [pool.submit(add, server, f"{number}.md", f"Rule {number} of the house.") for number in range(12)]
        rebuilds = [pool.submit(graphql, server, REBUILD, base="handbook", all=number == 1) for number in range(4)]
        embedded = [pool.submit(embed, server) for _ in range(3)]
        assert all(each.result()["outcome"] == "added" for each in more)
        assert all(each.result().errors == [] for each in rebuilds)
        assert [each.result() >= 0 for each in embedded] == [True] * 3
        embed(server)
        assert {its["state"] for its in listed(server)} == {"ready"}
        assert missing(server) == 0
        found = [its["text"] for its in search(server, "rule house holidays Sundays", mode="words", limit=50)]
        assert len(found) == len(set(found)) == 14


@pytest.mark.long
def test_a_rebuild_that_is_killed_again_and_again_ends_and_loses_nothing(tmp_path: Path) -> None:
    text = "\n\n".join(f"# Rule {number}\n\nRule {number} says number {number}." for number in range(200))
    with serving(tmp_path, CONFIG) as server:
        add(server, "rules.md", text)
        many = embed(server)
    shutil.rmtree(tmp_path / "passages")
    for _ in range(3):
        with serving(tmp_path, CONFIG) as server, ThreadPoolExecutor(1) as pool:
            assert graphql(server, REBUILD, base="handbook").errors == []
            pool.submit(graphql, server, EMBED, base="handbook")
            os.kill(server.process.pid, signal.SIGKILL)
            server.process.wait(60)
    with serving(tmp_path, CONFIG) as server:
        assert run(server, "rebuild").code == 0
        until(lambda: {its["state"] for its in listed(server)} == {"ready"})
        (base,) = graphql(server, BASES).data["knowledge"]
        assert (base["passages"], base["waiting"], base["missing"]) == (many, 0, 0)
        assert search(server, "rule 177 says number 177", mode="words")[0]["text"] == "Rule 177 says number 177."


def lose_the_label(shard: Path) -> None:
    (shard / "shelf.json").unlink()


def cut_the_label(shard: Path) -> None:
    (shard / "shelf.json").write_text('{"dim')


def lose_the_shard(shard: Path) -> None:
    shutil.rmtree(shard / "1")


def cut_all_files(shard: Path) -> None:
    for path in files(shard):
        os.truncate(path, path.stat().st_size // 2)


def empty_all_files(shard: Path) -> None:
    for path in files(shard):
        os.truncate(path, 0)


def overwrite_all_files(shard: Path) -> None:
    for path in files(shard):
        path.write_bytes(b"\xff" * path.stat().st_size)


def files(shard: Path) -> list[Path]:
    return [path for path in (shard / "1").rglob("*") if path.is_file()]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a server that has stopped, with two documents in its base."""
    folder = tmp_path_factory.mktemp("filled") / "home"
    with filled(folder):
        pass
    return folder


@pytest.mark.long
@pytest.mark.parametrize(
    "damage",
    [lose_the_label, cut_the_label, lose_the_shard, cut_all_files, empty_all_files, overwrite_all_files],
)
def test_damaged_files_are_named_and_made_again(damage: Callable[[Path], None], home: Path, tmp_path: Path) -> None:
    mine = Path(shutil.copytree(home, tmp_path / "home"))
    (shard,) = (mine / "passages").iterdir()
    damage(shard)
    with serving(mine, CONFIG) as server:
        assert missing(server) == 2
        for error in refused(server, "holidays").errors:
            assert "sizewise knowledge rebuild" in error["extensions"]["hint"], error
            assert str(tmp_path) not in str(error)
        assert run(server, "rebuild").out == "handbook: 2 passages embedded\n"
        assert sorted(finds(server)) == sorted([LEAVE, SUNDAY])
        assert (missing(server), warnings(server, "holidays")) == (0, [])
