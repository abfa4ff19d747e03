"""What is remembered of somebody: by whom it is seen, how it is found, and how it is forgotten in plain sight."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from sizewise.agents.memory import AgentMemory, MemoryEntry, rank_memories
from sizewise.app.services import open_services
from sizewise.audit_log.hash_chain import AuditEvent
from sizewise.errors import BadRequest
from sizewise.handler import Request, RequestOptions
from sizewise.settings.agents import AgentSettings, MemorySettings
from sizewise.settings.load import Settings
from tests.agents.scripted_model import ME, NOBODYS, Script, agents, worked
from tests.graphql.graphql_client import fresh_key, graphql
from tests.running_server import serving

ASK = Request(NOBODYS, ME, "0" * 32, time.perf_counter())


@contextmanager
def agent_memory(home: Path, settings: MemorySettings | None = None) -> Iterator[AgentMemory]:
    with open_services(home, Settings(memory=settings or MemorySettings())) as services:
        yield services.memories


def texts(found: list[dict[str, object]]) -> list[object]:
    return [each["text"] for each in found]


async def test_it_is_remembered_found_by_its_words_and_forgotten_by_them(tmp_path: Path) -> None:
    with agent_memory(tmp_path) as memories:
        for text in ("Likes green tea.", "Owns a bicycle.", "Is called Zoë Lang."):
            await memories.remember(ASK, "u-1", text)
        assert texts(await memories.recall(ASK, "u-1", "what tea does she like?")) == ["Likes green tea."]
        assert texts(await memories.recall(ASK, "u-1", "", 2)) == ["Is called Zoë Lang.", "Owns a bicycle."]
        assert await memories.recall(ASK, "u-1", "quantum") == []
        assert texts(await memories.forget(ASK, "u-1", "BICYCLE owns")) == ["Owns a bicycle."]
        (zoe,) = await memories.recall(ASK, "u-1", "zoë")
        assert texts(await memories.forget(ASK, "u-1", str(zoe["id"]))) == ["Is called Zoë Lang."]
        assert texts(await memories.recall(ASK, "u-1", "")) == ["Likes green tea."]
        with pytest.raises(BadRequest, match="needs a word or the id"):
            await memories.forget(ASK, "u-1", " ")


async def test_nobody_sees_the_memories_of_another_organization_project_or_user(tmp_path: Path) -> None:
    with agent_memory(tmp_path) as memories:
        (mine,) = await memories.remember(ASK, "u-1", "Likes green tea.")
        others = [
            replace(ASK, principal=replace(ME, tenant="other")),
            replace(ASK, principal=replace(ME, project="other")),
        ]
        for request in others:
            assert await memories.recall(request, "u-1", "") == []
            assert await memories.forget(request, "u-1", str(mine["id"])) == []
        assert await memories.recall(ASK, "u-2", "") == [] and await memories.forget(ASK, "u-2", "green") == []
        assert len(await memories.recall(ASK, "u-1", "")) == 1


async def test_the_same_step_remembers_once_and_the_oldest_go_beyond_the_bound(tmp_path: Path) -> None:
    with agent_memory(tmp_path, MemorySettings(max_per_user=2)) as memories:
        for _ in range(2):
            await memories.remember(ASK, "u-1", "first", key="run/1")
        await memories.remember(ASK, "u-2", "theirs", key="run/1")
        assert len(await memories.recall(ASK, "u-1", "")) == len(await memories.recall(ASK, "u-2", "")) == 1
        for text in ("second", "third"):
            await memories.remember(ASK, "u-1", text)
        assert texts(await memories.recall(ASK, "u-1", "")) == ["third", "second"]
        for wrong in ("", " ", "x" * 9_000):
            with pytest.raises(BadRequest):
                await memories.remember(ASK, "u-1", wrong)
        for whose in ("", "x" * 201):
            with pytest.raises(BadRequest):
                await memories.recall(ASK, whose, "")


async def test_it_lies_sealed_and_a_removal_by_a_person_stands_in_the_trail(tmp_path: Path) -> None:
    ids: list[str] = []
    with agent_memory(tmp_path) as memories:
        (one,) = await memories.remember(ASK, "canary-whose@example.com", "canary-text of tea")
        ids.append(str(one["id"]))
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"canary-text" not in kept and b"canary-whose" not in kept

    with agent_memory(tmp_path) as memories:
        deed = AuditEvent("acme", "u-9", "erase_records", f"memory:{ids[0]}")
        assert await memories.remove(ME, "canary-whose@example.com", [*ids, "mem_nosuch"], deed) == 1
        assert await memories.remove(ME, "canary-whose@example.com", ids, deed) == 0
    with open_services(tmp_path) as services:
        (line,) = await services.audit_log.newest("acme")
        assert line.deed.thing == f"memory:{ids[0]}"


async def test_what_is_too_old_is_forgotten_by_itself(tmp_path: Path) -> None:
    with agent_memory(tmp_path) as memories:
        await memories.remember(ASK, "u-1", "soon forgotten")
    with open_services(tmp_path, Settings(memory=MemorySettings(max_rows=1))) as services:
        await services.memories.remember(ASK, "u-2", "newer")  # the task keeps one row of all
        for task in services.retention.periodic_tasks():
            await task.run()
        assert not await services.memories.recall(ASK, "u-1", "")
        assert len(await services.memories.recall(ASK, "u-2", "")) == 1


def test_rare_words_count_more_than_common_ones() -> None:
    found = [
        MemoryEntry(str(n), text, n) for n, text in enumerate(["the red car", "the blue car", "the car of Zoë, red"])
    ]
    assert [each.id for each in rank_memories(found, "Zoë car")] == ["2", "1", "0"]
    assert rank_memories(found, "nothing like that") == []


def test_an_agent_remembers_its_user_and_a_session_is_apart(tmp_path: Path) -> None:
    with open_services(tmp_path) as services:
        row = AgentSettings(memory=True, system="Know your people.")
        script = Script(
            [("remember", {"text": "Likes green tea."})],
            "Noted.",
            [("recall", {"query": "tea"})],
            "Green.",
        )
        desk = agents(script, [], services.memories, friend=row)
        assert worked(desk, {"name": "friend"}, "I like green tea.")["text"] == "Noted."
        assert worked(desk, {"name": "friend"}, "Which tea?")["text"] == "Green."
        assert "Likes green tea." in script.bodies()[-1]["content"]
        assert script.offered() == ["remember", "recall", "forget"]
        other = Script([("recall", {"query": "tea"})], "?")
        worked(
            agents(other, [], services.memories, friend=row),
            {"name": "friend"},
            options=RequestOptions(session="s-1"),
        )
        assert other.bodies()[-1]["content"] == "[]"


FLOW = """
name: friend
inputs: {text: text}
nodes:
  keep: {kind: memory, do: remember, whose: "user:u-1", text: "{{ inputs.text }}"}
outputs: {count: "{{ keep.count }}"}
"""
MEMORIES = "query($w: String!, $q: String) { memories(namespace: $w, query: $q) { id text created } }"
FORGET = "mutation($w: String!, $ids: [String!]!) { forgetMemories(namespace: $w, ids: $ids) }"


@pytest.mark.long
def test_people_see_what_is_remembered_and_forget_it_and_both_stand_in_the_trail(tmp_path: Path) -> None:
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "friend.yaml").write_text(FLOW)
    with serving(tmp_path) as served:
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
        for text in ("Likes green tea.", "Owns a bicycle."):
            called = served.ask("/mcp", body | {"params": {"name": "friend", "arguments": {"text": text}}})
            assert b'"count":1' in called.body, called.body
        (tea,) = graphql(served, MEMORIES, w="user:u-1", q="tea").data["memories"]
        assert tea["text"] == "Likes green tea."
        assert graphql(served, MEMORIES, w="user:u-2").data["memories"] == []
        assert graphql(served, FORGET, w="user:u-1", ids=[tea["id"]]).data["forgetMemories"] == 1
        assert [each["text"] for each in graphql(served, MEMORIES, w="user:u-1").data["memories"]] == [
            "Owns a bicycle.",
        ]
        asker = fresh_key(served, "ask", "read_records")
        assert graphql(served, MEMORIES, key=asker, w="user:u-1").code == "forbidden"
        assert graphql(served, FORGET, key=asker, w="user:u-1", ids=["x"]).code == "forbidden"
        lines = graphql(served, "{ audit { action } }").data["audit"]
        assert {"read_memories", "forget_memories"} <= {each["action"] for each in lines}
