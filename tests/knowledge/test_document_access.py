"""Readers and data class of a document are those that were last named by add or sync, also if its text is the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.graphql.graphql_client import graphql
from tests.knowledge.knowledge_server import CONFIG, add, digest, embed, listed, search
from tests.running_server import Served, serving

SYNC = """mutation ($base: String!, $readers: [String!], $dataClass: DataClass) {
  syncKnowledge(base: $base, readers: $readers, dataClass: $dataClass) {
    ingested { source outcome } removed failed { source why } } }"""
CHECK = """mutation ($base: String!, $source: String!, $sha256: String!) {
  addDocument(base: $base, source: $source, sha256: $sha256) { outcome } }"""
KEY = """mutation ($dataClass: DataClass) {
  createKey(name: "reader", permissions: [ask], dataClass: $dataClass) { key { id } secret } }"""
BASES = ("chosen", "narrowed", "kept", "refused")
BULBS, PAGE = "Bulbs are guaranteed for 45 days.", "# Bulbs\n\nBulbs are guaranteed for 45 days.\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("access")
    (home / "pages").mkdir()
    (home / "pages" / "bulbs.md").write_text(PAGE)
    (home / "pages" / "lamps.md").write_text("# Lamps\n\nLamps are sent back free of charge.\n")
    sources = "".join(f'[knowledge.{base}]\nsources = ["pages"]\n' for base in BASES)
    with serving(home, CONFIG + sources) as served:
        yield served


def sync(server: Served, base: str, **named: Any) -> dict[str, str]:
    """What became of each document; all are embedded."""
    answer = graphql(server, SYNC, base=base, **named)
    assert answer.errors == [] and answer.data["syncKnowledge"]["failed"] == [], answer
    embed(server, base)
    return {each["source"]: each["outcome"] for each in answer.data["syncKnowledge"]["ingested"]}


def classes(server: Served, base: str) -> set[str]:
    return {each["dataClass"] for each in listed(server, base)}


def found(server: Served, base: str, key: str = "", **more: Any) -> list[str]:
    return [each["text"] for each in search(server, "guaranteed", base, key, mode="words", **more)]


def outcomes(outcome: str) -> dict[str, str]:
    return {"pages/bulbs.md": outcome, "pages/lamps.md": outcome}


def test_a_synced_class_is_that_of_old_documents_too_and_stays(server: Served) -> None:
    visitor = graphql(server, KEY, dataClass="public").data["createKey"]["secret"]
    assert sync(server, "chosen") == outcomes("added")
    assert classes(server, "chosen") == {"internal"} and found(server, "chosen", visitor) == []
    assert sync(server, "chosen", dataClass="public") == outcomes("changed")
    assert classes(server, "chosen") == {"public"}
    assert found(server, "chosen", visitor) == [BULBS], "the vector store has the new class too"
    assert sync(server, "chosen") == outcomes("same")
    assert classes(server, "chosen") == {"public"}, "a sync by night does not undo it"
    known = graphql(server, CHECK, base="chosen", source="pages/bulbs.md", sha256=digest(PAGE.encode()))
    assert known.data["addDocument"]["outcome"] == "same", "nor does add, which sends nothing"


def test_a_stricter_class_holds_before_anything_is_embedded_again(server: Served) -> None:
    sync(server, "narrowed", dataClass="public")
    assert found(server, "narrowed", most="public") == [BULBS]
    answer = graphql(server, SYNC, base="narrowed", dataClass="confidential")
    assert answer.errors == [] and found(server, "narrowed", most="internal") == []
    embed(server, "narrowed")
    assert found(server, "narrowed", most="internal") == [] and found(server, "narrowed") == [BULBS]


def test_a_changed_file_keeps_its_readers_and_its_class(server: Served) -> None:
    made = graphql(server, KEY).data["createKey"]
    reader = made["secret"]
    sync(server, "kept", readers=[f"key:{made['key']['id']}"], dataClass="confidential")
    assert found(server, "kept") == [] and found(server, "kept", reader) == [BULBS]
    add(server, "pages/bulbs.md", "Bulbs are guaranteed for 50 days.", "kept")
    embed(server, "kept")
    assert found(server, "kept") == [] and found(server, "kept", reader) == ["Bulbs are guaranteed for 50 days."]
    assert classes(server, "kept") == {"confidential"}
    assert sync(server, "kept", readers=[]) == outcomes("changed")
    assert found(server, "kept") == [BULBS] and classes(server, "kept") == {"confidential"}


def test_readers_that_cannot_be_are_refused_before_any_file_is_read(server: Served) -> None:
    answer = graphql(server, SYNC, base="refused", readers=["team:sales"])
    assert answer.code == "bad_request" and "'team:sales' is not a valid reader" in answer.message
    assert answer.hint == "use user:ID or key:ID"


@pytest.mark.long
def test_a_class_that_is_named_is_chosen_even_if_it_was_the_same(tmp_path: Path) -> None:
    with serving(tmp_path, CONFIG) as server:
        for source, named in (("named.md", {"dataClass": "internal"}), ("unnamed.md", {})):
            add(server, source, BULBS)
            add(server, source, BULBS, **named)
        assert embed(server) == 2, "naming it again embeds nothing again"
    with serving(tmp_path, CONFIG + '[knowledge.handbook]\ndata_class = "public"\n') as server:
        for source in ("named.md", "unnamed.md"):
            add(server, source, BULBS)
        by_source = {each["source"]: each["dataClass"] for each in listed(server)}
        assert by_source == {"named.md": "internal", "unnamed.md": "public"}
