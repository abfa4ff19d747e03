"""Commits through the front door: planned when they come, by a branch or an id, by a signed push, and by a proxy."""

from __future__ import annotations

import contextlib
import hmac
import select
import socket
import socketserver
import threading
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.certificates import Authority
from tests.cli.terminal import sizewise
from tests.releases.git_server import TOKEN, GitServer, git_server
from tests.releases.test_environments import live, run
from tests.releases.test_git_sync import FILES, FLOW
from tests.running_server import ECHO, Served, serving, until

SECRET = "push-canary-0a1b2c3d4e5f"
SETTINGS = """{echo}
[policies.default]
threshold = 0.5
[git]
url = "{url}"
token = "env:GIT_TOKEN"
webhook_secret = "env:PUSH_SECRET"
poll_s = 86400
[environments.prod]
from = "any"
[environments.next]
"""

pytestmark = pytest.mark.long


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[GitServer]:
    with git_server(tmp_path / "git") as made:
        made.commit(FILES)
        yield made


@pytest.fixture
def server(repository: GitServer, tmp_path: Path) -> Iterator[Served]:
    home = tmp_path / "home"
    settings = SETTINGS.format(echo=ECHO, url=repository.url)
    with serving(home, settings, GIT_TOKEN=TOKEN, PUSH_SECRET=SECRET) as running:
        until(lambda: live(home)["prod"])
        yield running
        said = "".join(running.said)
        assert TOKEN not in said and SECRET not in said and "Traceback" not in said


def test_a_commit_is_planned_and_nothing_is_live_by_it(server: Served, repository: GitServer) -> None:
    home, first = server.home, live(server.home)
    more = {
        "sizewise.toml": "[policies.default]\nthreshold = 0.5\n",
        "flows/answer.yaml": FLOW.replace("small", "large"),
    }
    repository.commit(more)
    synced = run(home, "release", "sync")
    (plan,) = synced["plans"]
    assert live(home) == first
    assert run(home, "release", "sync")["plans"] == [plan]
    shown = sizewise("release", "sync", home=home)
    assert f"Planned: sizewise release apply {plan}" in shown.out
    made = run(home, "release", "apply", plan)
    assert made["live"]["release"] == synced["release"]


def test_a_branch_and_a_commit_are_planned_when_they_are_asked_for(server: Served, repository: GitServer) -> None:
    home = server.home
    other = repository.commit({**FILES, "flows/more.yaml": FLOW.replace("answer", "more")}, branch="topic")
    repository.commit(FILES)
    by_branch = run(home, "release", "plan", "--ref", "topic", "prod")
    by_commit = run(home, "release", "plan", "--commit", other, "prod")
    assert by_branch["release"] == by_commit["release"] and by_commit["createdBy"] != "git"
    assert {"flows/answer", "flows/more"} <= {f"{each['kind']}/{each['name']}" for each in by_commit["changes"]}
    for words, said in (
        (("--ref", "nowhere", "prod"), "git cannot fetch 'nowhere'"),
        (("--ref", "-u", "prod"), "is not the name of a branch"),
        (("--commit", "0" * 40, "prod"), "git cannot fetch"),
        (("--commit", other, "staging", "prod"), "name what to plan, once"),
        (("prod",), "name what to plan, once"),
    ):
        wrong = sizewise("release", "plan", *words, home=home)
        assert wrong.code in (2, 3) and said in wrong.err, wrong.err


def test_a_signed_push_has_the_server_look_and_another_does_not(server: Served, repository: GitServer) -> None:
    home = server.home
    run(home, "release", "sync")

    def pushed(**headers: Any) -> int:
        return server.ask("/hooks/git", {"ref": "refs/heads/main"}, key="", **headers).status

    body = b'{"ref": "refs/heads/main"}'
    by = {wrong: hmac.new(wrong.encode(), body, sha256).hexdigest() for wrong in (SECRET, "another")}
    assert pushed() == 400
    assert pushed(x_hub_signature_256=f"sha256={by['another']}") == 400
    assert pushed(x_gitea_signature=by["another"]) == 400
    assert pushed(x_gitlab_token="another") == 400
    for headers in (
        {"x_hub_signature_256": f"sha256={by[SECRET]}"},
        {"x_gitea_signature": by[SECRET]},
        {"x_gitlab_token": SECRET},
    ):
        flow = FLOW.replace('prompt: "', f'prompt: "{next(iter(headers))} ')
        commit = repository.commit({**FILES, "flows/answer.yaml": flow})
        assert pushed(**headers) == 202
        until(lambda commit=commit: f"git:{commit[:12]}" in sizewise("release", "list", "--json", home=home).out)


class Tunnel(socketserver.StreamRequestHandler):
    """CONNECT, to this machine whatever the name."""

    seen: list[str] = []

    def handle(self) -> None:
        head = []
        while line := self.rfile.readline().decode().strip():
            head.append(line)
        self.seen += head
        if not any(each.startswith("Proxy-Authorization") for each in head):
            self.wfile.write(b"HTTP/1.1 407 Who?\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n")
            self.wfile.write(b"Connection: close\r\n\r\n")
            return
        port = int(head[0].split()[1].rpartition(":")[2])
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)) as other:
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            while True:
                for each in select.select([self.connection, other], [], [])[0]:
                    data = each.recv(65_536)
                    if not data:
                        return
                    (other if each is self.connection else self.connection).sendall(data)


def test_git_goes_by_the_proxy_and_the_certificates_of_the_settings(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with (
        git_server(tmp_path / "git", authority.signs("git")) as repository,
        socketserver.ThreadingTCPServer(("127.0.0.1", 0), Tunnel) as proxy,
    ):
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        repository.commit(FILES)
        home = tmp_path / "home"
        settings = SETTINGS.format(echo=ECHO, url=repository.url)
        settings += (
            f'[network]\nca = "{authority.file}"\nproxy = "http://me:p%40ss@127.0.0.1:{proxy.server_address[1]}"\n'
        )
        with serving(home, settings, GIT_TOKEN=TOKEN, PUSH_SECRET=SECRET) as server:
            assert len(run(home, "release", "sync")["release"]) == 64
            assert any(each.startswith("CONNECT git.example:") for each in Tunnel.seen)
            assert "Proxy-Authorization: Basic bWU6cEBzcw==" in Tunnel.seen
            assert "p%40ss" not in "".join(server.said) and repository.seen == []
        proxy.shutdown()
