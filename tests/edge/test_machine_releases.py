"""A small machine takes the releases of its gateway: signed and as good by its own eval, else what was live answers."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.graphql.graphql_client import fresh_key, graphql
from tests.releases.test_environments import PROMPT, greet, project, run, text
from tests.running_server import ECHO, KEY, THRESHOLD, Served, serving, until

ENVIRONMENT = """
[environments.prod]
from = "any"
"""
GATEWAY = ECHO + THRESHOLD + ENVIRONMENT
MACHINE = f"""{GATEWAY}
gate = ["city"]
[edge]
machine = "till-1"
origin = "ORIGIN"
key = "env:EDGE_KEY"
release_key = "RELEASE_KEY"
"""
EVAL = """target: {model: echo/small, prompt: greet}
data: city.jsonl
scorers:
  right: {kind: contains}
gate:
  - {score: right, not_worse_by: 0.2}
"""
OTHER_KEY = "A" * 43 + "="
EDGES = "{ edges(last: 1000) { rows { name release note } } }"


@dataclass
class Network:
    """Between a machine and its gateway. `cuts`: archives to come that end halfway. `ranges`: of those asked for."""

    away: bool = False  # no connection gets through

    url: str = ""
    archive: bytes = b""  # put in place of the one that is signed
    offer: bytes = b""  # put in place of the present one
    cuts: int = 0
    ranges: list[str] = field(default_factory=list)


@contextlib.contextmanager
def network(target: str) -> Iterator[Network]:
    between, there = Network(), urlsplit(target)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._forward(b"")

        def do_POST(self) -> None:
            self._forward(self.rfile.read(int(self.headers["content-length"])))

        def _forward(self, body: bytes) -> None:
            if between.away:
                self.close_connection = True
                return
            upstream = HTTPConnection(there.hostname or "", there.port or 80, timeout=30)
            sent = {name: value for name, value in self.headers.items() if name.lower() != "host"}
            upstream.request(self.command, self.path, body or None, sent)
            answer = upstream.getresponse()
            data = answer.read()
            upstream.close()
            is_archive = self.path.startswith("/edge/releases/")
            if is_archive:
                between.ranges.append(self.headers.get("range", ""))
                data = between.archive or data
            elif self.path == "/edge/release":
                data = between.offer or data
            self.send_response(answer.status)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            if is_archive and between.cuts:
                between.cuts -= 1
                data = data[: len(data) // 2]
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    between.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield between
    finally:
        server.shutdown()
        server.server_close()


def release_key(gateway: Served, key: str) -> str:
    until(lambda: gateway.ask("/edge/release", key=key).status == 200)
    found: Any = gateway.ask("/edge/release", key=key).json
    return str(found["key"])


def publish(home: Path, words: str) -> str:
    """Makes a release whose prompt has these words live at the gateway; its hash."""
    (home / "prompts" / "greet.md").write_text(PROMPT.replace("PROMPT one", words))
    until(lambda: run(home, "release", "build")["hash"])
    made = str(run(home, "release", "build")["hash"])
    run(home, "release", "apply", made, "--to", "prod")
    return made


def machine_home(home: Path) -> Path:
    project(home, MACHINE)
    (home / "prompts" / "greet.md").write_text(PROMPT.replace("PROMPT one", "[[say Paris]] one"))
    (home / "evals").mkdir()
    (home / "evals" / "city.yaml").write_text(EVAL)
    items = [{"id": f"i{number}", "input": f"question {number}", "expected": "Paris"} for number in range(40)]
    (home / "evals" / "city.jsonl").write_text("".join(f"{json.dumps(each)}\n" for each in items))
    return home


def live(server: Served) -> str:
    """The release that answers."""
    return greet(server, KEY).headers.get("x-sizewise-release", "")


def state(gateway: Served) -> dict[str, str]:
    found = graphql(gateway, EDGES).data["edges"]["rows"]
    return dict(found[0]) if found else {}


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Served]:
    home = project(tmp_path / "gateway", GATEWAY)
    (home / "prompts" / "greet.md").write_text(PROMPT.replace("PROMPT one", "[[say Paris]] one"))
    with serving(home, GATEWAY) as served:
        yield served


@pytest.mark.long
def test_a_release_is_taken_and_one_that_fails_the_eval_of_the_machine_is_not(tmp_path: Path, gateway: Served) -> None:
    key = fresh_key(gateway, "serve_edge")
    config = MACHINE.replace("ORIGIN", gateway.url).replace("RELEASE_KEY", release_key(gateway, key))
    with serving(machine_home(tmp_path / "machine"), config, EDGE_KEY=key) as machine:
        until(lambda: state(gateway).get("release"))
        first = state(gateway)["release"]
        good = publish(gateway.home, "[[say Paris]] two")
        until(lambda: live(machine) == good)
        until(lambda: state(gateway)["release"] == good)
        assert good != first and not state(gateway)["note"]
        bad = publish(gateway.home, "[[say Rome]]")
        until(lambda: "city: FAIL" in state(gateway)["note"])
        assert state(gateway)["release"] == good and text(greet(machine, KEY)) == "Paris"
        assert live(gateway) == bad
        run(gateway.home, "release", "rollback", "prod")
        until(lambda: not state(gateway)["note"])
        assert state(gateway)["release"] == good


@pytest.mark.long
def test_what_is_not_signed_is_refused_and_a_download_goes_on_after_a_cut(tmp_path: Path, gateway: Served) -> None:
    key, home = fresh_key(gateway, "serve_edge"), machine_home(tmp_path / "machine")
    trusted, old = release_key(gateway, key), gateway.ask("/edge/release", key=key).body
    good = publish(gateway.home, "[[say Paris]] two")
    with network(gateway.url) as between:
        config = MACHINE.replace("ORIGIN", between.url)
        with serving(home, config.replace("RELEASE_KEY", OTHER_KEY), EDGE_KEY=key) as machine:
            until(lambda: b"is not signed by the key in `release_key`" in machine.ask("/readyz").body)
            until(lambda: live(machine))
            first = live(machine)
            assert first != good and not between.ranges
        config = config.replace("RELEASE_KEY", trusted)
        archive = gateway.ask(f"/edge/releases/{good}", key=key).body
        between.archive = archive.replace(b"prompts", b"promptz")
        with serving(home, config, EDGE_KEY=key) as machine:
            until(lambda: b"came with other bytes than were signed" in machine.ask("/readyz").body)
            assert live(machine) == first
        between.archive, between.cuts = b"", 1
        between.ranges.clear()
        with serving(home, config, EDGE_KEY=key) as machine:
            until(lambda: live(machine) == good)
        between.offer = old
        with serving(home, config, EDGE_KEY=key) as machine:
            until(lambda: b"which is older than the last one" in machine.ask("/readyz").body)
            assert live(machine) == good
        assert between.ranges == ["", f"bytes={len(archive) // 2}-"]


@pytest.mark.long
def test_a_machine_killed_while_it_changes_answers_by_the_old_release_or_the_new(
    tmp_path: Path, gateway: Served
) -> None:
    key, home = fresh_key(gateway, "serve_edge"), machine_home(tmp_path / "machine")
    config = MACHINE.replace("ORIGIN", gateway.url).replace("RELEASE_KEY", release_key(gateway, key))
    good = publish(gateway.home, "[[say Paris]] two")
    with serving(home, config, EDGE_KEY=key) as machine:
        until(lambda: live(machine))
        first = live(machine)
        until(lambda: list((home / "evals" / ".runs").rglob("*.jsonl")))  # its eval has begun
        machine.process.kill()
        machine.process.wait(60)
    with serving(home, config, EDGE_KEY=key) as machine:
        assert text(greet(machine, KEY)) == "Paris" and live(machine) in (first, good)
        until(lambda: live(machine) == good)


ALARM = """
[alerts.errors]
metric = "error_rate"
window = "10m"
alert = 0.05
every = "1s"
"""


@pytest.mark.long
def test_a_release_that_fails_after_it_was_taken_is_taken_back_also_without_a_network(
    tmp_path: Path, gateway: Served
) -> None:
    key, home = fresh_key(gateway, "serve_edge"), machine_home(tmp_path / "machine")
    config = ALARM + MACHINE.replace("RELEASE_KEY", release_key(gateway, key))
    with (
        network(gateway.url) as between,
        serving(home, config.replace("ORIGIN", between.url), EDGE_KEY=key) as machine,
    ):
        first = live(gateway)  # and not the machine's own, which it reports before
        until(lambda: first and state(gateway).get("release") == first)
        failing = publish(gateway.home, "[[say Paris]] two")
        until(lambda: live(machine) == failing)
        until(lambda: state(gateway)["release"] == failing)
        between.away = True
        for _ in range(60):  # among the requests of its evals
            assert machine.chat("echo/large", "[[fail upstream]]").status >= 500
        until(lambda: live(machine) == first)
        between.away = False
        until(lambda: "taken back: the alert 'errors'" in state(gateway)["note"])
        assert state(gateway)["release"] == first and live(gateway) == failing
        good = publish(gateway.home, "[[say Paris]] three")
        until(lambda: live(machine) == good)
        until(lambda: not state(gateway)["note"])


@pytest.mark.long
def test_a_signed_release_of_another_environment_is_refused(tmp_path: Path, gateway: Served) -> None:
    key = fresh_key(gateway, "serve_edge")
    config = MACHINE.replace("ORIGIN", gateway.url).replace("RELEASE_KEY", release_key(gateway, key))
    bound = config.replace("[edge]", '[edge]\nrelease_environment = "staging"')
    with serving(machine_home(tmp_path / "machine"), bound, EDGE_KEY=key) as machine:
        until(lambda: b"is offered for 'prod', and this machine belongs to 'staging'" in machine.ask("/readyz").body)
        until(lambda: live(machine))
        first = live(machine)
        assert first != publish(gateway.home, "[[say Paris]] two")
        assert live(machine) == first
