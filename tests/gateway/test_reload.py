"""A reload at a real server: settings in which the last thing cannot be built change nothing, and once fixed all."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.auth.user_client import Browser, new_user
from tests.certificates import Authority, Pair
from tests.fakes.webhook_receiver import SECRET, WebhookReceiver, receiving
from tests.gateway.test_tls import certificate, config, replaced, trusting
from tests.graphql.graphql_client import GraphQLAnswer, graphql
from tests.mcp.fake_mcp_server import FakeMcpServer, doubling
from tests.running_server import Served, serving, until

BEFORE = """
[roles.clerk]
permissions = ["ask"]
[limits.organization]
requests_per_minute = 1000
[hosts.shop]
url = "{old}"
place = "machine"
"""
AFTER = """
[roles.clerk]
permissions = ["ask", "read_budgets"]
[limits.organization]
requests_per_minute = 500
[hosts.shop]
url = "{new}"
place = "machine"
[webhooks.ops]
url = "{hook}"
secret = "env:HOOK"
place = "machine"
[mcp.far]
url = "{mcp}"
place = "machine"
"""
ORDER = """
name: order
nodes:
  sent: {kind: http, host: shop, method: POST, path: /order}
outputs: {status: "{{ sent.status }}"}
"""
ADDS = """
name: adds
nodes:
  sum: {kind: tool, tool: far__add, arguments: {a: 1}}
outputs: {sum: "{{ sum.text }}"}
"""
PUBLISH = "mutation ($t: String!) { publishFlow(text: $t) { new } }"
START = "mutation ($f: String!) { startFlowRun(flow: $f) { id } }"


@dataclass
class World:
    """A server, and all that its old settings know or its new ones do."""

    server: Served
    clerk: Browser
    pair: Pair
    new: Pair
    shown: bytes  # the old certificate
    old_shop: WebhookReceiver
    new_shop: WebhookReceiver
    hook: WebhookReceiver
    mcp: FakeMcpServer
    runs: list[str]  # begun since the last reload

    def reload(self, more: str = "") -> GraphQLAnswer:
        given = {"new": self.new_shop.url, "hook": self.hook.url, "mcp": self.mcp.url}
        settings = config(self.pair).replace('"large"', '"large", "huge"') + AFTER.format(**given) + more
        (self.server.home / "sizewise.toml").write_text(settings)
        self.runs.clear()
        return graphql(self.server, "mutation { reload { models } }")

    def run(self, flow: str) -> str:
        """How a durable run of it ended."""
        id = graphql(self.server, START, f=flow).data["startFlowRun"]["id"]
        self.runs.append(id)

        def state() -> str:
            found = graphql(self.server, "query ($i: String!) { flowRun(id: $i) { state } }", i=id).data["flowRun"][
                "state"
            ]
            return found if found in ("done", "failed") else ""

        until(state)
        return state()

    def told_of(self) -> set[str]:
        """Runs that the webhook was told of."""
        return {json.loads(body)["data"]["run"] for _, body in self.hook.came}


def as_before(world: World) -> None:
    assert world.clerk.graphql("{ budgets { scope } }").code == "forbidden"
    answer = world.server.chat("echo/small")
    assert answer.status == 200 and answer.headers["x-ratelimit-limit-requests"] == "1000"
    assert world.server.chat("echo/huge").status == 404
    orders = world.old_shop.heard()
    assert world.run("order") == "done"
    assert (world.old_shop.heard(), world.new_shop.heard()) == (orders + 1, 0)
    assert world.run("adds") == "failed" and world.mcp.came == []
    assert world.hook.came == []
    assert certificate(world.server) == world.shown


def as_wanted(world: World) -> None:
    assert world.clerk.graphql("{ budgets { scope } }").errors == []
    answer = world.server.chat("echo/huge")
    assert answer.status == 200 and answer.headers["x-ratelimit-limit-requests"] == "500"
    orders = world.old_shop.heard()
    assert world.run("order") == "done"
    assert (world.old_shop.heard(), world.new_shop.heard()) == (orders, 1)
    assert world.run("adds") == "done" and "tools/call" in world.mcp.methods()
    until(lambda: world.hook.heard() >= 2)
    assert world.told_of() == set(world.runs)  # and of no run that ended under the old settings
    assert certificate(world.server) != world.shown


# What is built last, broken


def agents(world: World) -> str:
    return '[agents.a]\nsubagents = ["nobody"]\n'


def mcp_key(world: World) -> str:
    return '[mcp.last]\nurl = "http://127.0.0.1:1/"\nplace = "machine"\nkey = "env:NOT_THERE"\n'


def store(world: World) -> str:
    return '[database]\nurl = "env:NOT_THERE"\n'


def guard(world: World) -> str:
    return '[guardrails]\nadd_canary = true\nleakage = "off"\n'


def certificates(world: World) -> str:
    world.pair.key.write_text("no key at all")
    return ""


LAST = (guard, store, agents, mcp_key, certificates)


@pytest.mark.long
def test_refused_settings_change_nothing_and_fixed_ones_all(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair, new = authority.signs("server"), authority.signs("new")
    with receiving(200) as old_shop, receiving(200) as new_shop, receiving() as hook, doubling() as mcp:
        settings = config(pair) + BEFORE.format(old=old_shop.url)
        with serving(tmp_path, settings, HOOK=SECRET) as server:
            server.tls = trusting(authority)
            for text in (ORDER, ADDS):
                assert graphql(server, PUBLISH, t=text).errors == []
            clerk = new_user(server, "clerk@example.com", "clerk")
            world = World(server, clerk, pair, new, certificate(server), old_shop, new_shop, hook, mcp, [])
            as_before(world)
            for broken in LAST:
                replaced(pair, new)
                refused = world.reload(broken(world))
                assert refused.code == "bad_config", (broken.__name__, refused.errors)
                as_before(world)
            replaced(pair, new)
            assert "echo/huge" in world.reload().data["reload"]["models"]
            as_wanted(world)
