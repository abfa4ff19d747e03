"""Bad days of an edge: a release of the future, a restart in mid-stream, a body of 100 MB, a machine that is stolen."""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.edge.running_worker import WORKERD, free_port, upstream, wait_for, worker
from tests.edge.test_machine_releases import GATEWAY, live, publish, release_key
from tests.edge.test_worker import SETTINGS as WORKER
from tests.releases.test_environments import project, run
from tests.running_server import ECHO, KEY, THRESHOLD, Served, serving, until

SETTINGS = WORKER.replace('"reset-mid"', '"hang-mid"')
MACHINE = """
[edge]
machine = "till-1"
origin = "{origin}"
key = "env:EDGE_KEY"
release_key = "{trusted}"
[environments.prod]
from = "any"
"""


@contextlib.contextmanager
def workerd(folder: Path) -> Iterator[Served]:
    """Cloudflare's runtime alone, on the files that `sizewise edge dev` wrote."""
    port = free_port()
    argv = [str(WORKERD), "serve", "--experimental", f"--socket-addr=http=127.0.0.1:{port}", "config.capnp"]
    process = subprocess.Popen(argv, cwd=folder, env={"UP_KEY": "sk-up"})
    try:
        wait_for(port, process)
        yield Served(f"http://127.0.0.1:{port}", folder, process)  # type: ignore[arg-type]  # has a pid too
    finally:
        process.kill()
        process.wait(60)


@pytest.fixture
def built(tmp_path: Path) -> Iterator[Path]:
    """The folder of a Worker, with a provider that answers."""
    with upstream() as url:
        with worker(tmp_path, SETTINGS.format(url=url), UP_KEY="sk-up"):
            pass
        yield tmp_path / "build" / "edge"


@pytest.mark.node
def test_a_release_that_is_newer_than_the_runtime_is_refused_in_words(built: Path) -> None:
    release = built / "release.mjs"
    release.write_bytes(release.read_bytes().replace(b'"format":1,', b'"format":2,', 1))
    with workerd(built) as edge:
        for answer in (edge.chat("auto"), edge.ask("/health", key=None)):
            assert (answer.status, answer.error["code"]) == (503, "model_unavailable")
            assert "the release has the format 2, and this runtime reads 1" in answer.error["message"]


@pytest.mark.node
def test_a_worker_that_ends_in_mid_stream_ends_the_stream_and_answers_again(built: Path) -> None:
    body = json.dumps({"model": "up/hang-mid", "stream": True, "messages": [{"role": "user", "content": "Hi"}]})
    with workerd(built) as edge:
        connection = edge.connection()
        connection.request("POST", "/v1/chat/completions", body, {"Authorization": f"Bearer {KEY}"})
        answer = connection.getresponse()
        said = answer.readline()
        edge.process.kill()
        edge.process.wait(60)
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            while line := answer.readline():
                said += line
            raise ConnectionError  # the end of the connection, without an end of the stream
        connection.close()
    assert b"data:" in said and b"[DONE]" not in said
    with workerd(built) as edge:
        assert edge.chat("auto").status == 200


@pytest.mark.node
def test_a_body_of_100_mb_is_refused_by_its_announced_length(built: Path) -> None:
    with workerd(built) as edge:
        connection = edge.connection()
        connection.putrequest("POST", "/v1/chat/completions")
        connection.putheader("Authorization", f"Bearer {KEY}")
        connection.putheader("Content-Length", "100000000")
        connection.endheaders()
        answer = connection.getresponse()
        assert answer.status == 413 and b"larger than 100000 bytes" in answer.read()
        connection.close()
        assert edge.chat("auto").status == 200


@pytest.mark.long
def test_a_stolen_machine_whose_key_is_revoked_gets_nothing_more_and_says_so(tmp_path: Path) -> None:
    home = project(tmp_path / "gateway", GATEWAY)
    with serving(home, GATEWAY) as gateway:
        made = run(home, "keys", "create", "till-1", "--permissions", "serve_edge")
        trusted = release_key(gateway, made["secret"])
        config = ECHO + THRESHOLD + MACHINE.format(origin=gateway.url, trusted=trusted)
        with serving(project(tmp_path / "machine", config), config, EDGE_KEY=made["secret"]) as machine:
            until(lambda: live(machine))
            first = live(machine)
            run(home, "keys", "revoke", made["key"]["id"])
            publish(home, "PROMPT for who has a key")
            assert machine.chat("echo/small").status == 200
            until(lambda: b"it answered with the status 401" in machine.ask("/readyz").body)
            until(lambda: b"offers no release: status 401" in machine.ask("/readyz").body)
            assert live(machine) == first
            assert gateway.ask("/edge/release", key=made["secret"]).status == 401
