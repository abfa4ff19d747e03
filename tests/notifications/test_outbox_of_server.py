"""The outbox of a real server: kill -9 before a delivery loses no message, and doctor shows what waits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.terminal import sizewise
from tests.fakes.webhook_receiver import SECRET, receiving
from tests.graphql.graphql_client import graphql
from tests.running_server import ECHO, Served, serving, until

HOOK = """
[webhooks.ops]
url = "{url}"
secret = "env:HOOK"
place = "machine"
"""
STATUS = "{ receivers { name kind waiting delivered failed lastDelivery lastError } }"


def revoke_a_key(server: Served) -> str:
    made = graphql(server, 'mutation { createKey(name: "laptop") { key { id } } }').data["createKey"]["key"]["id"]
    graphql(server, "mutation ($id: String!) { revokeKey(id: $id) { id } }", id=made)
    return str(made)


@pytest.mark.long
def test_kill_9_between_a_change_and_its_delivery_loses_no_message(tmp_path: Path) -> None:
    with receiving(500, 204) as hook:
        config = ECHO + HOOK.format(url=hook.url)
        with serving(tmp_path, config, HOOK=SECRET) as server:
            key = revoke_a_key(server)
            until(lambda: graphql(server, STATUS).data["receivers"][0]["lastError"] == "status 500")
            server.process.kill()
            server.process.wait(60)
        with serving(tmp_path, config, HOOK=SECRET) as server:
            until(lambda: graphql(server, STATUS).data["receivers"][0]["delivered"] == 1)
            found = graphql(server, STATUS).data["receivers"]
    assert (found[0]["name"], found[0]["kind"], found[0]["waiting"]) == ("webhooks.ops", "webhook", 0)
    assert {json.loads(body)["data"]["key"] for _, body in hook.came} == {key}
    assert len({headers["webhook-id"] for headers, _ in hook.came}) == 1
    assert 2 <= hook.heard() <= 3


@pytest.mark.long
def test_doctor_names_a_receiver_that_gave_messages_up(tmp_path: Path) -> None:
    config = ECHO + HOOK.format(url="http://127.0.0.1:9/hooks")
    with serving(tmp_path, config, HOOK=SECRET) as server:
        revoke_a_key(server)
        until(lambda: graphql(server, STATUS).data["receivers"][0]["lastError"])
        said = sizewise("doctor", "--home", str(tmp_path), "--config", str(tmp_path / "sizewise.toml"), "--json")
    found = [each for each in json.loads(said.out)["checks"] if each["check"] == "receivers"]
    assert found[0]["ok"] and found[0]["found"].startswith("webhooks.ops: 0 delivered in 7 days, 1 waiting")
