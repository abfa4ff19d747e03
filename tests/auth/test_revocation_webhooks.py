"""Who wants to know is told of a key that was revoked: whose it was and by whom, never its text."""

from __future__ import annotations

import json
from pathlib import Path

from tests.fakes.webhook_receiver import SECRET, receiving
from tests.graphql.graphql_client import graphql
from tests.running_server import ECHO, serving, until

HOOK = """
[webhooks.ops]
url = "{url}"
secret = "env:HOOK"
place = "machine"
events = ["key.revoked"]
"""


def test_a_revoked_key_is_told_of_once(tmp_path: Path) -> None:
    with receiving() as hook, serving(tmp_path, ECHO + HOOK.format(url=hook.url), HOOK=SECRET) as server:
        made = graphql(server, 'mutation { createKey(name: "laptop") { secret key { id } } }').data["createKey"]
        graphql(server, "mutation ($id: String!) { revokeKey(id: $id) { id } }", id=made["key"]["id"])
        until(hook.heard)
        ((_, body),) = hook.came
    said = json.loads(body)
    assert said["type"] == "key.revoked"
    assert said["data"] == {"key": made["key"]["id"], "name": "laptop", "project": "default", "by": "admin"}
    assert made["secret"].encode() not in body
