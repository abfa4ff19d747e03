"""What the tests of this room share: a server of two workers, many questions at once, and its processes (Linux)."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.graphql.graphql_client import admin, graphql
from tests.running_server import ECHO, Answer, Served, children, until

CLIENTS = 64
RPM = "mutation ($scope: String!, $n: NonNegativeSafeInt) { setBudget(scope: $scope, requestsPerMinute: $n) { scope } }"
MAKE = 'mutation { createKey(name: "t", permissions: [ask, read]) { secret key { id } } }'


def settings(upstream: str) -> str:
    return f"""{ECHO.replace("[server]", "[server]" + chr(10) + "workers = 2")}
[providers.up]
base_url = "{upstream}"
key = "env:UPSTREAM_KEY"
place = "machine"
models = ["waits", "well", "alone", "hang"]
timeouts = {{first_byte_s = 60, idle_s = 60}}
[models."up/waits"]
slots = 3
queue_timeout_s = 30
"""


def at_once(work: Callable[[int], Answer], count: int = CLIENTS) -> list[Answer]:
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(work, range(count)))


def counted(server: Served, name: str = "sizewise_requests_total") -> float:
    text = server.ask("/metrics", key=admin(server)).body.decode()
    return sum(float(each) for each in re.findall(rf"^{name}(?:{{.*}})? (.*)$", text, re.MULTILINE))


def key_of(server: Served) -> tuple[str, str]:
    made = graphql(server, MAKE).data["createKey"]
    return made["secret"], made["key"]["id"]


def asked_with(server: Served, key: str) -> Answer:
    body = {"model": "echo/small", "messages": [{"role": "user", "content": "Hi"}]}
    return server.ask("/v1/chat/completions", body, key=key)


def named(server: Served, name: str) -> int:
    """The id of `store`, `gw-1`, ...; 0 if it does not run now."""
    for pid in children(server.process.pid):
        try:
            if Path(f"/proc/{pid}/comm").read_text().strip() == f"sizewise-{name}":
                return pid
        except OSError:
            continue
    return 0


def kill(server: Served, name: str, killed: list[str] | None = None) -> None:
    """With -9; returns when another process has taken its place. `killed`: gets the name at that moment."""
    pid = named(server, name)
    os.kill(pid, signal.SIGKILL)
    if killed is not None:
        killed.append(name)
    until(lambda: named(server, name) not in (0, pid))
