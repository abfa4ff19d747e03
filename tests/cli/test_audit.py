"""The trail is shown, exported and proved; whoever changes the database by hand is found, to the line."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from sizewise.audit_log.hash_chain import AuditEvent, chain_entry
from tests.cli.terminal import sizewise
from tests.graphql.graphql_client import fresh_key
from tests.running_server import Served, serving

INSERT = "INSERT INTO audit (tenant, seq, at, deed, previous, hash) VALUES (?, ?, ?, ?, ?, ?)"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("trail")) as served:
        for _ in range(5):
            fresh_key(served, "ask")
        yield served


def by_hand(home: Path, *statements: str) -> None:
    with closing(sqlite3.connect(home / "sizewise.db")) as database, database:
        for statement in statements:
            database.execute(statement)


def test_the_trail_is_shown_and_holds(server: Served) -> None:
    shown = sizewise("audit", "list", "--last", "3", home=server.home)
    assert shown.code == 0 and shown.out.count("key.create") == 3
    done = sizewise("audit", "verify", home=server.home)
    assert done.code == 0 and "intact" in done.out
    told = sizewise("audit", "verify", "--json", home=server.home).json
    assert told["holds"] and told["lines"] >= 6 and told["broken"] is None


@pytest.mark.long
@pytest.mark.parametrize(
    ("statement", "line", "why"),
    [
        ("UPDATE audit SET deed = replace(deed, 'ask', 'all') WHERE seq = 3", 3, "was changed"),
        ("UPDATE audit SET at = at + 1 WHERE seq = 4", 4, "was changed"),
        ("DELETE FROM audit WHERE seq = 2", 3, "entry 2 is missing"),
        ("UPDATE audit SET hash = previous WHERE seq = 2", 2, "was changed"),
        ("UPDATE audit SET previous = hash WHERE seq = 5", 5, "was replaced"),
        ("UPDATE audit SET seq = seq + 1000 WHERE seq = 2", 3, "entry 2 is missing"),
    ],
)
def test_a_database_changed_by_hand_is_found_to_the_line(tmp_path: Path, statement: str, line: int, why: str) -> None:
    with serving(tmp_path) as server:
        for _ in range(5):
            fresh_key(server, "ask")
        by_hand(tmp_path, statement)
        done = sizewise("audit", "verify", home=tmp_path)
        assert done.code == 1 and f"broken at entry {line}: " in done.out and why in done.out
        told = sizewise("audit", "verify", "--json", home=tmp_path)
        assert (told.code, told.json["holds"], told.json["broken"]["line"]) == (1, False, line)


@pytest.mark.long
def test_a_trail_that_was_cut_or_written_anew_is_found_by_an_older_export(tmp_path: Path) -> None:
    older = tmp_path / "older.jsonl"
    with serving(tmp_path) as server:
        for _ in range(4):
            fresh_key(server, "ask")
        assert sizewise("audit", "export", "-o", str(older), home=tmp_path).code == 0
        assert older.stat().st_mode & 0o077 == 0
        fresh_key(server, "ask")
        for words in ((str(older),), ("--against", str(older)), (str(older), "--against", str(older))):
            assert sizewise("audit", "verify", *words, home=tmp_path).code == 0
        by_hand(tmp_path, "DELETE FROM audit WHERE seq > 3")
        assert sizewise("audit", "verify", home=tmp_path).code == 0, "the chain alone cannot know"
        cut = sizewise("audit", "verify", "--against", str(older), home=tmp_path)
        assert cut.code == 1 and "entry 4 of the older export is missing" in cut.out
        _anew(tmp_path)
        assert sizewise("audit", "verify", home=tmp_path).code == 0
        new = sizewise("audit", "verify", "--against", str(older), home=tmp_path)
        assert new.code == 1 and "entry 1 differs from the older export" in new.out


def _anew(home: Path, lines: int = 10) -> None:
    """Another trail that holds in itself, as somebody could write who owns the database."""
    by_hand(home, "DELETE FROM audit")
    previous = "0" * 64
    with closing(sqlite3.connect(home / "sizewise.db")) as database, database:
        for seq in range(1, lines + 1):
            deed = AuditEvent("local", "admin", "key.create", f"key:sw-{seq}")
            line = chain_entry(deed, seq, seq, previous)
            row = ("local", seq, seq, msgspec.json.encode(deed).decode(), previous, line.hash)
            database.execute(INSERT, row)
            previous = line.hash


@pytest.mark.long
def test_more_lines_than_a_page_has_are_proved_and_exported(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        _anew(tmp_path, 2_300)
        assert sizewise("audit", "verify", "--json", home=server.home).json["lines"] == 2_300
        exported = sizewise("audit", "export", home=server.home).out
    assert len(exported.splitlines()) == 2_300
    (tmp_path / "changed.jsonl").write_text(exported.replace('"key:sw-2000"', '"key:sw-2001"'))
    done = sizewise("audit", "verify", str(tmp_path / "changed.jsonl"), home=tmp_path)
    assert done.code == 1 and "broken at entry 2000" in done.out


@pytest.mark.parametrize(("text", "code"), [("{}\n", 2), ("nonsense\n", 2), ("", 0)])
def test_a_file_that_is_no_export_is_told(tmp_path: Path, text: str, code: int) -> None:
    (tmp_path / "x.jsonl").write_text(text)
    assert sizewise("audit", "verify", str(tmp_path / "x.jsonl"), home=tmp_path).code == code
    assert sizewise("audit", "verify", str(tmp_path / "none.jsonl"), home=tmp_path).code == 3


def test_lines_from_before_there_was_a_by_still_hold() -> None:
    """The hash of a line as it was written then."""
    deed = AuditEvent("local", "admin", "key.create", "key:sw-1", None, {"name": "a"})
    then = "bbcb3001f8005284ed189c8ad1a4e3f9f33e3df6e967098d02710d9951519462"
    assert chain_entry(deed, 1, 1_700_000_000_000, "0" * 64).hash == then
    assert chain_entry(replace(deed, by="ss-1"), 1, 1_700_000_000_000, "0" * 64).hash != then


@pytest.mark.long
def test_a_trail_without_the_hash_that_was_the_newest_does_not_hold(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        fresh_key(server, "ask")
        newest = sizewise("audit", "verify", "--json", home=tmp_path).json["hash"]
        fresh_key(server, "ask")
        assert sizewise("audit", "verify", "--hash", newest, home=tmp_path).code == 0
        _anew(tmp_path)
        assert sizewise("audit", "verify", home=tmp_path).code == 0
        done = sizewise("audit", "verify", "--hash", newest, home=tmp_path)
        assert done.code == 1 and "broken: " in done.out and "truncated or rewritten" in done.out
        by_hand(tmp_path, "DELETE FROM audit")
        done = sizewise("audit", "verify", home=tmp_path)
        assert done.code == 1 and "the audit log is empty" in done.out
