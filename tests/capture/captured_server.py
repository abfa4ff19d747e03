"""Runs a real server in a network where every address is this machine, and prints as JSON what went where.

One canary a request: a word found nowhere else. Which places may see it follows from what the request, its key, its
project and its policy say. Started by test_capture.py, in a network namespace of its own.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sizewise.testing.upstream import FakeOpenAI
from tests.capture.network_capture import Capture, Wire, everywhere_is_here, mentions
from tests.flows.test_triggers import FLOW, publish
from tests.gateway.server_harness import beside
from tests.running_server import Served, serving, until

PORT = 9001
PLACES = {"203.0.113.10": "anyone", "203.0.113.20": "region", "10.7.7.7": "network", "127.0.0.1": "machine"}
NEAR = {"anyone": 4, "region": 3, "network": 2, "machine": 1}
PROVIDERS = {
    "cloud": ("203.0.113.10", "anyone", ["big", "flaky", "busy", "judge"]),
    "region": ("203.0.113.20", "region", ["mid"]),
    "lan": ("10.7.7.7", "network", ["near"]),
    "here": ("127.0.0.1", "machine", ["well", "broken", "reset", "stuck", "reset-mid"]),
}
CONFIG = """
[server]
embedded = false
[shadow]
sample_rate = 1.0
judge = "cloud/judge"
budget_usd_per_day = "100"
max_concurrent = 64
[response_cache]
ttl_s = 60
[router]
timeout_s = 4.0
[projects.hr]
data_class = "confidential"
[projects.lab]
online = "deny"
[providers.echo]
wire = "echo"
place = "process"
models = ["small"]
[models."echo/small"]
parameters = 100_000_000
[models."cloud/big"]
parameters = 70_000_000_000
[policies.default]
models = ["echo/small", "here/well", "lan/near", "cloud/big"]
threshold = 0.999
[policies.votes]
models = ["echo/small", "here/well", "cloud/big"]
votes = 2
threshold = 0.999
verifier = "cloud/big"
[policies.fallback]
kind = "fixed"
models = ["here/broken", "here/reset", "region/mid", "lan/near", "cloud/flaky", "cloud/big"]
[policies.hedged]
kind = "fixed"
models = ["here/stuck", "cloud/busy", "cloud/big"]
hedge_delay_s = 0.05
[policies.resumed]
kind = "fixed"
models = ["here/reset-mid", "cloud/big"]
resume = true
[policies.home]
kind = "cheapest"
online = "deny"
[policies.nearer]
kind = "fixed"
models = ["lan/near", "cloud/big"]
[policies.nearer.egress]
internal = "network"
"""
ALONE = """
[server]
embedded = false
[providers.echo]
wire = "echo"
place = "process"
models = ["small"]
"""
POLICIES = ("default", "votes", "fallback", "hedged", "resumed", "home", "nearer")
RESTRICTIONS = ("free", "class", "key", "project", "offline", "lab")
HEADERS = {"class": {"x_sizewise_data_class": "confidential"}, "offline": {"x_sizewise_online": "deny"}}
REACH = {"home": "machine", "nearer": "network"}
"""What the policies themselves say of internal data."""
ENDPOINTS = ("chat", "stream", "messages", "responses", "embeddings", "named")
CLOUD = {
    "DBOS__CLOUD": "true",
    "DBOS__CONDUCTOR_APP_NAME": "sizewise",
    "DBOS__CONDUCTOR_KEY": "key",
    "DBOS__CONDUCTOR_URL": f"ws://203.0.113.10:{PORT}",
    "DBOS__OTLP_TRACES_ENDPOINT": f"http://203.0.113.10:{PORT}",
}
"""By which the library under the flows would be sent to its makers."""


@dataclass
class SentRequest:
    """One request, its canary, and the furthest place that may see it."""

    canary: str
    way: str
    endpoint: str
    policy: str
    limit: str
    status: int = 0


def config() -> str:
    said = [CONFIG]
    for name, (address, place, models) in PROVIDERS.items():
        said.append(f'[providers.{name}]\nbase_url = "http://{address}:{PORT}/v1"\nplace = "{place}"')
        said.append(f"models = {json.dumps(models)}\n[providers.{name}.timeouts]\nfirst_byte_s = 0.4\nidle_s = 0.4")
    return "\n".join(said)


def scenes() -> Iterator[SentRequest]:
    for policy in POLICIES:
        for way in RESTRICTIONS:
            for endpoint in ENDPOINTS:
                limit = "anyone" if way == "free" else "machine"
                if endpoint not in ("named", "embeddings"):  # there no policy decides
                    limit = min(limit, REACH.get(policy, limit), key=NEAR.__getitem__)
                yield SentRequest(f"canary-{policy}-{way}-{endpoint}-zq", way, endpoint, policy, limit)


def ask(server: Served, one: SentRequest, keys: dict[str, str]) -> int:
    headers = HEADERS.get(one.way, {})
    key = keys.get(one.way, server.key)
    words = f"{one.canary} what is it?"
    model = "cloud/big" if one.endpoint == "named" else f"auto:{one.policy}"
    messages = [{"role": "user", "content": words}]
    path, body = "/v1/chat/completions", dict[str, object]({"model": model, "messages": messages})
    if one.endpoint == "stream":
        body["stream"] = True
    elif one.endpoint == "messages":
        path, body = "/v1/messages", {"model": model, "messages": messages, "max_tokens": 20}
    elif one.endpoint == "responses":
        path, body = "/v1/responses", {"model": model, "input": words}
    elif one.endpoint == "embeddings":
        path, body = "/v1/embeddings", {"model": "cloud/big", "input": words}
    return server.ask(path, body, key=key, timeout=60, **headers).status


def made_keys(server: Served) -> dict[str, str]:
    admin = (server.home / "admin.token").read_text().strip()
    made = {}
    for way, arguments in (("key", "dataClass: confidential"), ("project", 'project: "hr"'), ("lab", 'project: "lab"')):
        query = f'mutation {{ createKey(name: "{way}", {arguments}) {{ secret }} }}'
        answer: Any = server.ask("/graphql", {"query": query}, key=admin).json
        made[way] = answer["data"]["createKey"]["secret"]
    return made


def used(home: Path) -> tuple[list[SentRequest], Capture]:
    with beside(lambda: FakeOpenAI(PORT, "0.0.0.0")), Wire() as wire:  # somebody answers at every address
        with serving(home, config()) as server:
            keys = made_keys(server)
            asked = list(scenes())
            for one in asked:
                one.status = ask(server, one, keys)
            until(lambda: _settled(server), 30)
    return asked, wire.capture()


def _settled(server: Served) -> bool:
    """No comparison is under way any more."""
    text = server.ask("/metrics").body.decode()
    before = [line for line in text.splitlines() if line.startswith("sizewise_shadow")]
    time.sleep(0.3)
    after = server.ask("/metrics").body.decode()
    return before == [line for line in after.splitlines() if line.startswith("sizewise_shadow")]


def idle(home: Path) -> Capture:
    """A server without any provider, as it comes: started, asked, a flow run, stopped."""
    publish(home, FLOW)
    with Wire() as wire, serving(home, ALONE, **CLOUD) as server:
        run: Any = server.ask("/hooks/flows/orders", {"id": "o-1"}, x_shop="north").json
        until(lambda: _state(home, run["run"]) == "done")
        server.chat("auto")
        server.ask("/v1/models")
        server.ask("/")
        server.ask("/graphql", {"query": "{ catalog { name } health { impaired } }"})
    return wire.capture()


def _state(home: Path, run: str) -> str:
    with closing(sqlite3.connect(home / "sizewise.db")) as database:
        return str(database.execute("SELECT state FROM flow_runs WHERE id = ?", (run,)).fetchone()[0])


def main(home: Path) -> None:
    everywhere_is_here()
    quiet = idle(home / "idle")
    asked, capture = used(home / "used")
    told = [
        {
            "canary": each.canary,
            "limit": each.limit,
            "status": each.status,
            "seen": sorted(set(mentions(capture, each.canary))),
        }
        for each in asked
    ]
    sys.stdout.write(json.dumps({"asked": told, "used": summed(capture), "idle": summed(quiet)}))


def summed(capture: Capture) -> dict[str, object]:
    sizes: dict[str, int] = {}
    for (to, _), said in capture.said.items():
        sizes[to] = sizes.get(to, 0) + len(said)
    opened = sorted({to for to, _ in capture.opened})
    return {"opened": opened, "bytes": sizes, "datagrams": sorted(capture.datagrams), "lost": capture.lost}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
