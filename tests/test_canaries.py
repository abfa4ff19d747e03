"""Nothing that a client says, or that opens a connection, lies readable in the home: every byte of every file is read.

What does lie there in the clear is named in docs/how-to/encrypt.md: names that people give (of keys, models, policies),
trace ids, counts and decisions, and the two files that are keys themselves, admin.token and vault.key.
"""

from __future__ import annotations

import base64
import json
import re
import threading
from pathlib import Path
from typing import Any

from tests.auth.user_client import INVITE, Browser
from tests.fakes.webhook_receiver import receiving
from tests.flows.test_triggers import publish
from tests.gateway.server_harness import misbehaving
from tests.graphql.graphql_client import graphql
from tests.running_server import Served, serving, until

WORDS = (
    "prompt",
    "reply",
    "system",
    "tool-argument",
    "tool-result",
    "tool-description",
    "streamed",
    "left",
    "failed",
    "upstream-prompt",
    "shadowed",
    "messages-prompt",
    "messages-system",
    "responses-input",
    "responses-again",
    "responses-instructions",
    "idempotency-key",
    "idempotent-prompt",
    "embedded",
    "session",
    "header",
    "user",
    "metadata",
    "file-name",
    "file-data",
    "image",
    "schema-name",
    "schema-description",
    "explained",
    "query-string",
    "provider-key",
    "provider-header",
    "webhook-secret",
    "brought-key",
    "cached",
    "password",
    "wrong-password",
    "flow-input",
    "flow-prompt",
    "flow-output",
    "passage",
    "heading",
    "source",
    "looked-for",
)
"""One canary each."""
CANARY = {word: f"canary-{number:02d}-{word}-{'zqxjkv'[number % 6] * 3}" for number, word in enumerate(WORDS)}
HOOK = "whsec_" + base64.b64encode((CANARY["webhook-secret"] + "x" * 32)[:40].encode()).decode()
KEY = "sk-" + CANARY["brought-key"] + "-0a1b2c3d4e5f60718293"
IN_THE_CLEAR = "name-of-a-key-in-the-clear"

CONFIG = """
[server]
embedded = false
discover = false
[logs]
level = "debug"
file = "sizewise.log"
[records]
contents = true
[response_cache]
ttl_s = 3600
[shadow]
sample_rate = 1
judge = "echo/large"
[providers.echo]
wire = "echo"
place = "process"
models = ["small", "large", "vectors"]
[models."echo/vectors"]
task = "embed"
[providers.up]
base_url = "{url}"
key = "env:UP_KEY"
headers = {{x-tenant-secret = "env:UP_HEADER"}}
place = "machine"
models = ["counted", "broken", "parrot"]
[webhooks.ops]
url = "{hook}"
secret = "env:HOOK"
place = "machine"
"""


FLOW = """
name: said
inputs: {{q: text}}
nodes:
  ask:
    kind: ask
    model: echo/small
    system: "{say[flow-prompt]}"
    prompt: "{{{{ inputs.q }}}} [[say {say[flow-output]}]]"
outputs: {{a: "{{{{ ask.text }}}}"}}
triggers: [{{kind: webhook}}]
"""


def spellings(canary: str) -> set[bytes]:
    """As it could lie somewhere: plain, in hex, in UTF-16, and in base64 at each of its three turns."""
    plain = canary.encode()
    turns = {base64.b64encode(b"\0" * turn + plain)[4 if turn else 0 : -4] for turn in range(3)}
    return {plain, plain.hex().encode(), canary.encode("utf-16-le"), *turns}


def found(home: Path, canaries: dict[str, str]) -> list[str]:
    """Word and file, for each canary that lies in some file of the home."""
    files = {path.relative_to(home).as_posix(): _written(path) for path in home.rglob("*") if path.is_file()}
    assert {"sizewise.db", "flows.db", "sizewise.toml", "admin.token", "vault.key"} <= files.keys()
    return [
        f"{word} in {name}"
        for word, canary in canaries.items()
        for name, data in files.items()
        if any(each in data for each in spellings(canary))
    ]


def _written(file: Path) -> bytes:
    """Without what was set aside for later: a hundred million zeros in all."""
    return re.sub(rb"\0{64,}", bytes(64), file.read_bytes())


def chat(server: Served, words: str, model: str = "echo/small", **more: Any) -> Any:
    return server.chat(model, words, **more)


def every_feature(server: Served) -> None:
    say = CANARY.__getitem__
    chat(server, f"{say('prompt')} [[say {say('reply')}]]", user=say("user"), metadata={"note": say("metadata")})
    tool = {"name": "look", "description": say("tool-description"), "parameters": {"type": "object"}}
    asked = {"role": "user", "content": f'[[tool look {{"a": "{say("tool-argument")}"}}]]'}
    called = {
        "id": "c1",
        "type": "function",
        "function": {"name": "look", "arguments": json.dumps({"a": say("tool-argument")})},
    }
    turns: list[Any] = [
        {"role": "system", "content": say("system")},
        asked,
        {"role": "assistant", "content": None, "tool_calls": [called]},
        {"role": "tool", "tool_call_id": "c1", "content": say("tool-result")},
    ]
    tools = [{"type": "function", "function": tool}]
    for messages in (turns[:2], turns):
        body = {"model": "echo/small", "messages": messages, "tools": tools, "max_tokens": 200}
        assert server.ask("/v1/chat/completions", body).status == 200
    assert chat(server, say("streamed"), stream=True).status == 200
    assert chat(server, f"[[fail]] {say('failed')}").status == 502
    assert chat(server, say("upstream-prompt"), "up/counted").status == 200
    for model in ("up/broken", "up/parrot"):
        assert chat(server, say("upstream-prompt"), model).status >= 400
    for _ in range(2):
        assert chat(server, say("cached"), temperature=0).status == 200
    assert chat(server, say("shadowed"), "auto").status == 200
    picture = base64.b64encode(say("image").encode()).decode()
    parts = [
        {"type": "text", "text": "see"},
        {
            "type": "image_url",
            "image_url": {"url": f"data:image/png;base64,{picture}"},
        },
        {"type": "file", "file": {"filename": say("file-name"), "file_data": say("file-data")}},
    ]
    server.ask("/v1/chat/completions", {"model": "up/counted", "messages": [{"role": "user", "content": parts}]})
    schema = {"type": "object", "description": say("schema-description"), "properties": {"a": {"type": "string"}}}
    shape = {"type": "json_schema", "json_schema": {"name": say("schema-name"), "schema": schema}}
    chat(server, "an object", response_format=shape)
    said = [{"role": "user", "content": say("messages-prompt")}]
    theirs = {"model": "echo/small", "max_tokens": 50, "system": say("messages-system"), "messages": said}
    assert server.ask("/v1/messages", theirs).status == 200
    first: Any = server.ask(
        "/v1/responses",
        {"model": "echo/small", "input": say("responses-input"), "instructions": say("responses-instructions")},
    ).json
    again = {"model": "echo/small", "input": say("responses-again"), "previous_response_id": first["id"]}
    assert server.ask("/v1/responses", again).status == 200
    once = {"model": "echo/small", "messages": [{"role": "user", "content": say("idempotent-prompt")}]}
    for _ in range(2):
        assert server.ask("/v1/chat/completions", once, idempotency_key=say("idempotency-key")).status == 200
    server.ask("/v1/embeddings", {"model": "echo/small", "input": [say("embedded")]})
    headers: Any = {"x_sizewise_session": say("session"), "x_something_else": say("header"), "cookie": say("header")}
    server.ask("/v1/chat/completions", {"model": "auto", "messages": [{"role": "user", "content": "hi"}]}, **headers)
    server.ask(f"/v1/models?q={say('query-string')}")
    server.ask(f"/{say('query-string')}")
    graphql(server, "query($p: String!) { explain(prompt: $p) { why } }", p=say("explained"))
    assert server.ask("/hooks/flows/said", {"q": say("flow-input")}).status == 202
    known(server)
    left(server, say("left"))


def known(server: Served) -> None:
    """A document in a knowledge base, embedded and found."""
    text = f"# {CANARY['heading']}\n\nThe rule of {CANARY['passage']} is this."
    add = """mutation($s: String!, $t: String!) { addDocument(base: "canaries", source: $s, text: $t) { id } }"""
    assert graphql(server, add, s=CANARY["source"], t=text).errors == []
    assert graphql(server, 'mutation { embedDocuments(base: "canaries") { waiting } }').errors == []
    look = 'query($q: String!) { passages(base: "canaries", query: $q) { results { text } } }'
    assert graphql(server, look, q=f"the rule of {CANARY['looked-for']}").data["passages"]["results"]


def signed_in(server: Served) -> tuple[Browser, str]:
    """Somebody who was invited, has a password, has mistaken it once and is in; and the invitation's token."""
    made = graphql(server, INVITE, email="anna@example.org", role="developer").data["inviteUser"]
    browser = Browser(server)
    assert browser.accept(made["token"], "Anna", CANARY["password"]).status == 200
    assert browser.sign_in("anna@example.org", CANARY["wrong-password"]).status == 401
    assert browser.sign_in("anna@example.org", CANARY["password"]).status == 200
    assert browser.graphql("{ me { user } }").data["me"]["user"]
    return browser, made["token"]


def left(server: Served, words: str) -> None:
    """A client that hangs up in the middle of its answer."""
    connection = server.connection()
    body = {
        "model": "echo/small",
        "stream": True,
        "messages": [{"role": "user", "content": f"{words} [[pace 0.05]] [[repeat 50]]"}],
    }
    sent = {"Authorization": f"Bearer {server.key}", "Content-Type": "application/json"}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), sent)
    connection.getresponse().read(20)
    connection.close()


def test_no_canary_lies_in_any_file_of_the_home(tmp_path: Path) -> None:
    assert len(CANARY) >= 20
    home = tmp_path / "home"
    publish(home, FLOW.format(say=CANARY))
    with misbehaving() as up, receiving() as hook:
        secrets = {"UP_KEY": CANARY["provider-key"], "UP_HEADER": CANARY["provider-header"], "HOOK": HOOK}
        with serving(home, CONFIG.format(url=up.url, hook=hook.url), key=KEY, **secrets) as server:
            name = "mutation($n: String!) { createKey(name: $n) { secret } }"
            text = graphql(server, name, n=IN_THE_CLEAR).data["createKey"]["secret"]
            person, invited = signed_in(server)
            canaries = {
                **CANARY,
                "made-key": text,
                "hook": HOOK,
                "brought": KEY,
                "invitation": invited,
                "session": person.cookie.partition("=")[2],
                "csrf": person.csrf,
            }
            every_feature(server)
            threads = [threading.Thread(target=every_feature, args=(server,)) for _ in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            rows = "{ records(last: 200) { rows { trace } } encryption { keys { rows } } }"
            until(
                lambda: graphql(server, rows).data["encryption"]["keys"][0]["rows"] >= 60,
            )  # all of it was kept, sealed
            trace = graphql(server, rows).data["records"]["rows"][0]["trace"]
            assert trace
            assert found(home, canaries) == []
            # The search finds what does lie there.
            assert found(home, {"a name": IN_THE_CLEAR})
            assert any(
                name.startswith("a token")
                for name in found(home, {"a token": (home / "admin.token").read_text().strip()})
            )
        assert found(home, canaries) == []
        assert (home / "sizewise.log").read_text().count(" gateway: request ") > 50
        assert [line for line in server.said if any(each in line for each in canaries.values())] == []
