"""Erasing one person: all that was stored for them is gone, byte by byte, and nothing of anybody else."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sizewise.storage.database import LOCK_TIMEOUT_MS
from tests.auth.user_client import INVITE, Browser
from tests.cli.terminal import sizewise
from tests.graphql.graphql_client import fresh_key, graphql
from tests.running_server import ECHO, Served, serving, until

CONFIG = (
    ECHO
    + """
[records]
contents = true
[response_cache]
ttl_s = 3600
"""
)
FLOW = """
name: gate
inputs: {who: text}
nodes:
  note: {kind: memory, do: remember, whose: "{{ inputs.who }}", text: "likes tea"}
  may: {kind: approve, question: "Send it?", after: [note]}
outputs: {answer: "{{ may.approved }}"}
"""
MAKE_KEY = "mutation($n: String!) { createKey(name: $n, personal: true) { secret key { id } } }"
ERASE = """mutation($u: String, $k: String) {
  erasePersonalData(user: $u, key: $k, dryRun: false) { rows { kind count } } }"""
STORED = (
    *("records", "contents", "feedback", "responses", "idempotency", "memories"),
    *("flow_runs", "flow_steps", "files", "file_parts"),
)


@dataclass
class Person:
    """Somebody with something in each store. `canaries`: what of them lies in the files."""

    browser: Browser
    email: str
    key: str
    key_id: str
    response: str
    run: str
    canaries: dict[str, bytes] = field(default_factory=dict)


def person(server: Served, name: str, role: str = "developer") -> Person:
    email = f"{name}-canary@example.org"
    made = graphql(server, INVITE, email=email, role=role).data["inviteUser"]
    browser = Browser(server)
    assert browser.accept(made["token"], f"{name} canary name").status == 200, server.said[-3:]
    assert browser.chat(words=f"by session, {name}").status == 200
    key = browser.graphql(MAKE_KEY, n=f"laptop of {name}").data["createKey"]
    asked = {"model": "echo/small", "messages": [{"role": "user", "content": f"by key, {name}"}]}
    trace = f"{sum(name.encode()):032x}"
    answer = server.ask(
        "/v1/chat/completions",
        asked,
        key=key["secret"],
        idempotency_key=f"once-{name}",
        traceparent=f"00-{trace}-00f067aa0ba902b7-01",
    )
    assert answer.status == 200
    kept: Any = server.ask("/v1/responses", {"model": "echo/small", "input": f"keep {name}"}, key=key["secret"]).json
    form = b'--b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n'
    sent = form % (b"purpose", b"user_data") + form % (b"file", b"x" * 2_000_000) + b"--b--\r\n"
    uploaded = server.ask("/v1/files", sent, key=key["secret"], content_type="multipart/form-data; boundary=b")
    assert uploaded.status == 200, uploaded.body
    rate = "mutation($t: String!) { feedback(trace: $t, score: 1) { score } }"
    assert graphql(server, rate, key=key["secret"], t=trace).errors == []
    start = 'mutation($i: JSON!) { startFlowRun(flow: "gate", inputs: $i) { id } }'
    run = str(graphql(server, start, key=key["secret"], i={"who": email}).data["startFlowRun"]["id"])
    until(lambda: run_state(server, run) == "waiting")
    canaries = {"email": email, "name": f"{name} canary name", "trace": trace, "run": run}
    found = Person(browser, email, key["secret"], key["key"]["id"], kept["id"], run)
    found.canaries = {what: said.encode() for what, said in canaries.items()}
    return found


def key_id(server: Served, secret: str) -> str:
    (id,) = [each["id"] for each in graphql(server, "{ keys { id } }").data["keys"] if each["id"] in secret]
    return str(id)


def erased_of_key(server: Served, id: str) -> tuple[int, int]:
    """Erases what a key stored; the number of records, and of prompts with replies."""
    done = graphql(server, ERASE, k=id)
    assert done.errors == []
    rows = {each["kind"]: each["count"] for each in done.data["erasePersonalData"]["rows"]}
    return rows["records"], rows["prompts and replies"]


def run_state(server: Served, run: str) -> str:
    found: Any = graphql(server, "query($id: String!) { flowRun(id: $id) { state } }", id=run)
    return str(found.data["flowRun"]["state"]) if found.errors == [] else found.code


def lying_about(home: Path, canaries: dict[str, bytes]) -> list[str]:
    files = [path for path in home.rglob("*") if path.is_file()]
    return [f"{what} in {path.name}" for what, said in canaries.items() for path in files if said in path.read_bytes()]


def ciphertexts(home: Path, who: Person) -> dict[str, bytes]:
    """What is encrypted of them, as it lies in the file: 24 bytes are enough to know it by."""
    with closing(sqlite3.connect(home / "sizewise.db")) as read:
        found = {
            "response": read.execute("SELECT sealed FROM responses WHERE id = ?", (who.response,)).fetchone()[0],
            "steps": read.execute("SELECT sealed FROM flow_steps WHERE run = ?", (who.run,)).fetchone()[0],
            "filename": read.execute("SELECT sealed FROM files WHERE caller_key = ?", (who.key_id,)).fetchone()[0],
            "file": read.execute(
                "SELECT p.sealed FROM file_parts p JOIN files f ON f.id = p.file WHERE f.caller_key = ?", (who.key_id,)
            ).fetchone()[0],
            "contents": read.execute("SELECT sealed FROM contents WHERE key = ?", (who.key_id,)).fetchone()[0],
        }
    return {what: said[-24:] for what, said in found.items()}


def counts(home: Path) -> dict[str, int]:
    with closing(sqlite3.connect(home / "sizewise.db")) as read:
        return {name: read.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in STORED}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("erase") / "home"
    (home / "flows").mkdir(parents=True)
    (home / "flows" / "gate.yaml").write_text(FLOW)
    with serving(home, CONFIG) as served:
        yield served


@pytest.mark.long
def test_a_person_is_erased_and_nobody_else(server: Served) -> None:
    anna, bob = person(server, "anna"), person(server, "bob")
    graphql(server, "{ records(last: 1) { rows { trace } } }")  # written, since they are read
    until(lambda: counts(server.home)["contents"] >= 6)
    canaries = {**anna.canaries, **ciphertexts(server.home, anna)}
    assert len({each.partition(" in ")[0] for each in lying_about(server.home, canaries)}) == len(canaries)
    before = counts(server.home)

    dry = sizewise("erase", "--user", anna.email, home=server.home)
    assert dry.code == 0 and "nothing was erased" in dry.err and "--yes" in dry.err, dry.err
    assert counts(server.home) == before and run_state(server, anna.run) == "waiting"
    told = sizewise("erase", "--user", anna.email, "--json", home=server.home).json
    assert told["dryRun"] is True
    rows = {each["kind"]: each["count"] for each in told["rows"]}
    assert {kind for kind, count in rows.items() if not count} <= {
        *("invitations", "roles in projects", "unfinished background responses"),
        *("hourly sums", "daily sums", "sums by end user", "evals", "eval runs", "batches"),
        *("second factor with its recovery codes", "drafts of flows", "learned decisions"),
        *("items to label", "labeled items", "seen answers"),
    }, rows

    done = sizewise("erase", "--user", anna.email, "--yes", home=server.home)
    assert done.code == 0 and "are erased" in done.out and "not erased: backups" in done.err, done.err
    assert lying_about(server.home, canaries) == []
    assert server.ask("/v1/models", key=anna.key).status == 401
    assert anna.browser.send("/auth/session").status == 401
    assert run_state(server, anna.run) == "not_found"
    after = counts(server.home)
    assert all(2 * after[name] == before[name] for name in STORED), (before, after)

    assert server.ask(f"/v1/responses/{bob.response}").status == 200
    assert run_state(server, bob.run) == "waiting" and bob.browser.send("/auth/session").status == 200
    assert len(lying_about(server.home, bob.canaries)) >= len(bob.canaries)
    log = graphql(server, "{ audit(last: 20) { action resource } }").data["audit"]
    assert {"erase_personal_data", "user.erase"} <= {each["action"] for each in log}
    assert anna.email not in str(log) and sizewise("audit", "verify", home=server.home).code == 0
    again = sizewise("erase", "--user", anna.email, "--yes", home=server.home)
    assert again.code == 2 and "no user has the address" in again.err
    assert graphql(server, INVITE, email=anna.email, role="viewer").errors == [], "the address is free again"


@pytest.mark.long
def test_cached_answers_go_with_a_person(server: Served) -> None:
    eve = person(server, "eve")
    assert eve.browser.chat(words="cache me", temperature=0).status == 200
    assert "response cache" in eve.browser.chat(words="cache me", temperature=0).headers["x-sizewise-why"]
    other = person(server, "mallory")
    assert sizewise("erase", "--user", other.email, "--yes", home=server.home).code == 0
    assert "response cache" not in eve.browser.chat(words="cache me", temperature=0).headers["x-sizewise-why"]


def test_the_data_of_a_key_is_erased_and_the_key_stays(server: Served) -> None:
    key = fresh_key(server, "ask")
    id = key_id(server, key)
    kept: Any = server.ask("/v1/responses", {"model": "echo/small", "input": "mine"}, key=key).json
    others: Any = server.ask("/v1/responses", {"model": "echo/small", "input": "not mine"}).json
    done = sizewise("erase", "--key", id, "--yes", "--json", home=server.home).json
    rows = {each["kind"]: each["count"] for each in done["rows"]}
    assert (rows["stored responses"], rows["records"], rows["prompts and replies"]) == (1, 1, 1)
    assert server.ask(f"/v1/responses/{kept['id']}").status == 404
    assert server.ask(f"/v1/responses/{others['id']}").status == 200
    assert server.ask("/v1/models", key=key).status == 200


@pytest.mark.long
def test_what_workers_have_accepted_and_not_written_yet_is_erased_too(tmp_path: Path) -> None:
    config = CONFIG.replace("[server]", "[server]\nworkers = 2").replace("[records]", "[records]\nflush_ms = 5000")
    with serving(tmp_path / "home", config) as server:
        key = fresh_key(server, "ask")
        id = key_id(server, key)
        for number in range(8):
            asked = {"model": "echo/small", "messages": [{"role": "user", "content": f"Number {number}"}]}
            assert server.ask("/v1/chat/completions", asked, key=key).status == 200
        assert erased_of_key(server, id) == (8, 8)
        graphql(server, "{ records(last: 1) { rows { trace } } }")  # written, since they are read
        assert (counts(server.home)["records"], counts(server.home)["contents"]) == (0, 0)


@pytest.mark.parametrize("words", [[], ["--user", "a@example.org", "--key", "sw-x"], ["--user", ""], ["--key", ""]])
def test_one_person_or_key_has_to_be_named(server: Served, words: list[str]) -> None:
    done = sizewise("erase", *words, "--yes", home=server.home)
    assert done.code == 2 and "--user USER" in done.hint


def test_an_address_is_not_taken_for_a_key_nor_written_to_the_audit_log(server: Served) -> None:
    done = sizewise("erase", "--key", "ida@example.org", "--yes", home=server.home)
    assert done.code == 2 and "not the id of a key" in done.err and "`user`" in done.hint
    assert "ida@" not in str(graphql(server, "{ audit(last: 5) { resource } }").data)


def test_who_may_not_erase_erases_nothing(server: Served) -> None:
    ada = person(server, "ada")
    erase = "mutation($u: String!) { erasePersonalData(user: $u, dryRun: false) { dryRun } }"
    user = ada.browser.said["user"]
    admin = fresh_key(server, "ask", "manage_users", "read_users")
    assert graphql(server, erase, key=admin, u=user).code == "forbidden"
    weak = fresh_key(server, "erase_records")
    assert graphql(server, erase, key=weak, u=user).code == "forbidden", "a user is a matter of manage_users too"
    assert graphql(server, erase, u=ada.email).code == "not_found"
    assert ada.email not in str(graphql(server, "{ audit(last: 5) { resource } }").data)
    assert ada.browser.send("/auth/session").status == 200


def test_nobody_erases_themselves_or_the_last_owner(server: Served) -> None:
    olga = person(server, "olga", "owner")
    erase = "mutation($u: String!) { erasePersonalData(user: $u, dryRun: false) { dryRun } }"
    assert olga.browser.graphql(erase, u=olga.browser.said["user"]).code == "forbidden"
    assert graphql(server, erase, u=olga.browser.said["user"]).code == "conflict"
    assert olga.browser.send("/auth/session").status == 200


def test_another_organization_is_out_of_reach(server: Served) -> None:
    made = sizewise("orgs", "create", "acme", "owner@acme.example", "--json", home=server.home).json
    theirs = Browser(server)
    assert theirs.accept(made["link"].partition("#")[2], "Olaf").status == 200
    carl = person(server, "carl")
    assert theirs.graphql(ERASE, u=carl.browser.said["user"]).code == "not_found"
    gone = theirs.graphql(ERASE, k=carl.key_id)
    assert sum(each["count"] for each in gone.data["erasePersonalData"]["rows"]) == 0
    assert server.ask(f"/v1/responses/{carl.response}").status == 200 and run_state(server, carl.run) == "waiting"


def with_freed_pages(home: Path) -> Path:
    """As an older release left them, which overwrote nothing."""
    with serving(home, CONFIG):
        pass
    with closing(sqlite3.connect(home / "sizewise.db", isolation_level=None)) as write:
        write.execute("PRAGMA secure_delete = OFF")
        write.execute("BEGIN")
        write.execute("CREATE TABLE before (said TEXT)")
        write.executemany("INSERT INTO before VALUES (?)", [(f"old-canary-{'x' * 3_000}",) for _ in range(2_000)])
        write.execute("COMMIT")
        write.execute("DROP TABLE before")
    assert lying_about(home, {"old": b"old-canary"})
    return home


@pytest.mark.long
def test_an_erasure_waits_until_a_long_read_lets_it_overwrite_the_file(tmp_path: Path) -> None:
    home = with_freed_pages(tmp_path / "home")
    with serving(home, CONFIG), closing(sqlite3.connect(home / "sizewise.db", check_same_thread=False)) as read:
        read.execute("BEGIN")
        read.execute("SELECT count(*) FROM keys").fetchone()
        held = threading.Timer(LOCK_TIMEOUT_MS / 1_000 + 2.0, read.rollback)
        held.start()
        assert sizewise("erase", "--key", "sw-nosuch", "--yes", home=home).code == 0
        assert not held.is_alive() and lying_about(home, {"old": b"old-canary"}) == []


@pytest.mark.long
def test_pages_that_were_freed_long_ago_are_overwritten_too(tmp_path: Path) -> None:
    home = with_freed_pages(tmp_path / "home")
    with serving(home, CONFIG) as server:
        size = (home / "sizewise.db").stat().st_size
        assert sizewise("erase", "--key", "sw-nosuch", "--yes", home=home).code == 0
        assert lying_about(home, {"old": b"old-canary"}) == []
        assert (home / "sizewise.db").stat().st_size < size + 100_000
        assert server.chat("echo/small").status == 200
