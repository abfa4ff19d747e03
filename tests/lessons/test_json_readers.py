"""Two readers of one JSON body that see different things: guardrails read one message, the model server another.

Our reader is compared with three others: Python's `json`, the Rust parser of pydantic, and JavaScript's `JSON.parse`.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterator
from typing import Any

import pydantic_core
import pytest
import quickjs  # type: ignore[import-untyped]  # it has no stubs

from sizewise.errors import BadBody
from sizewise.providers.wires.openai.request_response import read_request, write_request
from sizewise.testing.upstream import FakeOpenAI
from tests.gateway.server_harness import CHAT, question, refused
from tests.graphql.graphql_client import admin
from tests.running_server import Served

MAIL = "anna@example.org"
LONG = "The quick brown fox. " * 1000
"""Longer bodies are read by another path."""
PATHS = {
    CHAT: '"messages": [{"role": "user", "content": "hi"}]',
    "/v1/messages": '"max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]',
    "/v1/messages/count_tokens": '"messages": [{"role": "user", "content": "hi"}]',
    "/v1/responses": '"input": [{"role": "user", "content": "hi"}]',
    "/v1/completions": '"prompt": "hi"',
    "/v1/moderations": '"input": "hi"',
    "/v1/embeddings": '"input": "hi"',
    "/v1/audio/speech": '"input": "hi"',
    "/v1/images/generations": '"prompt": "hi"',
}


def message(words: str) -> bytes:
    """A chat body with one message, written as it is."""
    return b'{"model": "whole/well", "messages": [{"role": "user", %b}]}' % words.encode()


@pytest.mark.parametrize("before", ["", LONG], ids=["short", "long"])
@pytest.mark.parametrize(
    ("words", "path"),
    [
        (f'"content": "{MAIL}", "content": "x"', "messages[0].content"),
        (f'"content": "{MAIL}", "cont\\u0065nt": "x"', "messages[0].content"),
        (f'"content": "x \\" \\\\", "content": "{MAIL}"', "messages[0].content"),
        (f'"content": "\\u0022\\u0022\\u0022\\u0022 x", "content": "{MAIL}"', "messages[0].content"),
        (f'"content": "x\\\\", "name": "a", "name": "{MAIL}"', "messages[0].name"),
        (f'"content": [{{"type": "text", "text": "{MAIL}", "text": "x"}}]', "messages[0].content[0].text"),
        (
            '"content": "x", "tool_calls": [{"type": "function", "id": "1", '
            '"function": {"name": "a", "name": "b", "arguments": ""}}]',
            "messages[0].tool_calls[0].function.name",
        ),
        ('"content": "x", "role": "user"', "messages[0].role"),
        (f'"content": "x", "{MAIL}": 1, "{MAIL}": 2', "messages[0][...]"),
        ('"content": "x", "extra": {"deep": [[{"a": 1, "a": 1}]]}', "messages[0].extra.deep[0][0].a"),
    ],
)
def test_a_key_written_twice_in_a_message_is_refused(
    served: Served, upstream: FakeOpenAI, before: str, words: str, path: str
) -> None:
    """`{"content": "anna@example.org", "content": "x"}`: guardrails saw the last, the upstream got both."""
    already = len(upstream.received.bodies)
    error = refused(served.ask(CHAT, message(words.replace("x", "x" + before, 1))), 400, "bad_body")
    assert error["param"] == path and f"`{path}`" in error["message"]
    assert MAIL not in json.dumps(error)
    assert len(upstream.received.bodies) == already


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", ["model", "metadata", "temperature", "tools"])
def test_a_field_written_twice_is_refused_by_every_api(served: Served, path: str, name: str) -> None:
    value = {"model": '"whole/well"', "metadata": "{}", "temperature": "1", "tools": "[]"}[name]
    field = f'"{name}": {value}, '
    rest = PATHS[path] if name == "model" else f'"model": "whole/well", {PATHS[path]}'
    answer = served.ask(path, f"{{{field}{field}{rest}}}".encode())
    assert answer.status == 400 and f"the key `{name}` is written twice" in answer.error["message"], answer.body


@pytest.mark.parametrize("path", [path for path in PATHS if path != "/v1/embeddings"])
def test_a_key_written_twice_in_a_tool_is_refused_by_every_api(served: Served, path: str) -> None:
    tool = '"tools": [{"type": "function", "name": "a", "input_schema": {"type": "object", "type": "string"}}]'
    answer = served.ask(path, f'{{"model": "whole/well", {tool}, {PATHS[path]}}}'.encode())
    assert answer.status == 400 and "`tools[0].input_schema.type` is written twice" in answer.error["message"]


def test_graphql_mcp_and_sign_in_refuse_a_key_written_twice(served: Served) -> None:
    query = '{"query": "query($a: Int) { models { name } }", "variables": {"a": 1, "a": 2}}'
    answer = served.ask("/graphql", query.encode(), key=admin(served), content_type="application/json")
    assert answer.status == 400 and b"`variables.a` is written twice" in answer.body
    call = '{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "x", "arguments": {"a": 1, "a": 2}}}'
    answer = served.ask("/mcp", call.encode())
    assert answer.status == 400 and b"`params.arguments.a` is written twice" in answer.body
    answer = served.ask("/auth/sign-in", b'{"email": "a@example.org", "password": "p", "password": "q"}')
    assert answer.status == 400 and b"`password` is written twice" in answer.body


@pytest.mark.parametrize(
    ("body", "key"),
    [
        (question().replace(b'"model"', b'"Model": "far/secret", "model"'), "Model"),
        (question().replace(b'"messages"', b'"MESSAGES": [], "messages"'), "MESSAGES"),
        (message(f'"content": "x", "Content": "{MAIL}"'), "Content"),
        (message(f'"content": "x", "Na\\u006de": "{MAIL}"'), "Name"),
        (message(f'"content": [{{"type": "text", "text": "x", "TEXT": "{MAIL}"}}]'), "TEXT"),
        (question().replace(b'"model"', '"\N{LATIN SMALL LETTER LONG S}tream": true, "model"'.encode()), "ſtream"),
    ],
)
def test_a_field_in_another_case_is_refused(served: Served, body: bytes, key: str) -> None:
    """Go ignores case: Ollama reads `Content` where guardrails read `content`."""
    error = refused(served.ask(CHAT, body), 400, "bad_body")
    assert f"`{key}`" in error["message"] and MAIL not in json.dumps(error)


def test_a_field_in_another_case_is_refused_in_an_item_of_a_response(served: Served) -> None:
    body: Any = {"model": "whole/well", "input": [{"role": "user", "content": "x", "Content": MAIL}]}
    assert "`Content`" in refused(served.ask("/v1/responses", body), 400, "bad_body")["message"]


def test_arguments_of_a_tool_keep_their_case(served: Served) -> None:
    call = {"type": "tool_use", "id": "t", "name": "f", "input": {"Name": "x", "Content": "y"}}
    messages = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [call]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "z"}]},
    ]
    body: Any = {"model": "whole/well", "max_tokens": 5, "messages": messages}
    assert served.ask("/v1/messages", body).status == 200


def test_keys_of_the_client_keep_their_case(served: Served, upstream: FakeOpenAI) -> None:
    properties = {"Name": {"type": "string"}, "name": {"type": "string"}, "Content": {"type": "string"}}
    function = {"name": "f", "parameters": {"type": "object", "properties": properties}}
    more: Any = {"tools": [{"type": "function", "function": function}], "metadata": {"Model": "x"}}
    assert served.ask(CHAT, question(model="whole/well", **more)).status == 200
    assert upstream.received.bodies[-1]["tools"] == more["tools"]


REFUSED = {
    "a byte order mark": b"\xef\xbb\xbf" + question(),
    "UTF-16": question().decode().encode("utf-16"),
    "half a surrogate pair": message('"content": "x", "u": "\\ud800"'),
    "a surrogate pair the wrong way round": message('"content": "x", "u": "\\udc00\\ud800"'),
    "an escape that is none": message('"content": "x", "u": "\\x41"'),
    "an escape that is not hexadecimal": message('"content": "x", "u": "\\u00zz"'),
    "a surrogate in UTF-8": question().replace(b"Hello", b"\xed\xa0\x80"),
    "a slash in two bytes": question().replace(b"Hello", b"\xc0\xaf"),
    "__proto__": question().replace(b'"model"', b'"__proto__": {"model": "far/secret"}, "model"'),
    "__proto__ in a message": message('"__proto__": {"content": "y"}, "content": "x"'),
    "NaN": question().replace(b'"model"', b'"u": NaN, "model"'),
    "Infinity": question().replace(b'"model"', b'"u": -Infinity, "model"'),
    "1e400": question().replace(b'"model"', b'"u": 1e400, "model"'),
    "1e400 in a message": message('"content": "x", "u": 1e400'),
    "an integer of 65 bits": question().replace(b'"model"', b'"u": 18446744073709551616, "model"'),
    "an integer below 64 bits": question().replace(b'"model"', b'"u": [-9223372036854775809], "model"'),
    "a seed of 70 bits": question().replace(b'"model"', b'"seed": 1180591620717411303424, "model"'),
    "5,000 digits": question().replace(b'"model"', b'"u": ' + b"9" * 5000 + b', "model"'),
    "a comment": question().replace(b'"model"', b'/**/ "model"'),
    "a trailing comma": question()[:-1] + b",}",
    "a second value": question() + b"{}",
    "a control character": message('"content": "x", "u": "\x01"'),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_body_on_which_readers_disagree_is_refused(served: Served, upstream: FakeOpenAI, case: str) -> None:
    already = len(upstream.received.bodies)
    refused(served.ask(CHAT, REFUSED[case].replace(b"echo/small", b"whole/well")), 400, "bad_body")
    assert len(upstream.received.bodies) == already


@pytest.mark.parametrize("seed", [0, -(2**63), 2**63 - 1, 2**53 + 1, 9007199254740993])
def test_integers_of_64_bits_pass_unchanged(served: Served, upstream: FakeOpenAI, seed: int) -> None:
    more: Any = {"seed": seed, "logit_bias": {"1": seed}}
    for words in ("hi", LONG):
        assert served.ask(CHAT, question(words, model="whole/well", **more)).status == 200
        sent = upstream.received.bodies[-1]
        assert sent["seed"] == seed and sent["logit_bias"] == {"1": seed}


@pytest.mark.parametrize(
    "words",
    [
        'a "quoted" word',
        'C:\\dir\\ and "\\"',
        "\\",
        '""""',
        '{"a": 1, "a": 2}',
        '"content": "x", "content": "y"',
        "\U0001f600 ünï \u2028",
        "__proto__",
        "\x00\x1f\x7f",
    ],
)
@pytest.mark.parametrize("escaped", [False, True])
@pytest.mark.parametrize("before", ["", LONG], ids=["short", "long"])
def test_a_text_about_json_is_no_json(
    served: Served, upstream: FakeOpenAI, words: str, escaped: bool, before: str
) -> None:
    messages = [{"role": "user", "content": before + words}, {"role": "user", "content": words}]
    body = json.dumps({"model": "whole/well", "messages": messages, "user": words}, ensure_ascii=escaped)
    assert served.ask(CHAT, body.encode()).status == 200
    assert upstream.received.bodies[-1]["messages"] == messages
    assert upstream.received.bodies[-1]["user"] == words


# ---- beside other readers -------------------------------------------------------------------------------------------

ATOMS = [
    *("0", "-0", "1", "1.0", "-0.0", "1e5", "1E+5", "1e308", "1e309", "1e400", "1e-400", "0.1234567890123456789012345"),
    *("9007199254740993", "9223372036854775807", "18446744073709551615", "18446744073709551616", "1" * 30, "01", "1."),
    *("-9223372036854775808", "-9223372036854775809", "NaN", "Infinity", "-Infinity", "true", "false", "null", "True"),
    *('""', '"a"', '"\\""', '"\\\\"', '"\\\\\\""', '"\\u0022"', '"\\ud83d\\ude00"', '"\\ud800"', '"\\udc00"', '"\\/"'),
    *('"\\ud800\\ud800"', '"\\udc00\\ud83d"', '"\\ud800x"', '"\\u00e9"', '"é"', '"\\u0000"', '"\\x"', '"\t"', '"\x7f"'),
    *('"\\uD83D\\uDE00"', '"\u2028"', '"\\u12"', "{}", "[]", '"\\b\\f"', "'a'", '"{\\"a\\": 1}"', '"\\\\u0022"'),
]
KEYS = [
    *('"a"', '"\\u0061"', '"A"', '"b"', '""', '"__proto__"', '"\\u005f_proto__"', '"content"', '"cont\\u0065nt"'),
    *(
        '"Content"',
        '"role"',
        '"\\""',
        '"\\u0022"',
        '"\\\\"',
        '"x\\\\"',
        '"constructor"',
        '"\\ud800"',
        '"é"',
        '"e\u0301"',
    ),
]


def value(chance: random.Random, depth: int = 0) -> str:
    kind = chance.random()
    if depth > 2 or kind < 0.5:
        return chance.choice(ATOMS)
    if kind < 0.7:
        return f"[{', '.join(value(chance, depth + 1) for _ in range(chance.randrange(4)))}]"
    return written(chance, depth + 1)


def written(chance: random.Random, depth: int) -> str:
    keys = (chance.choice(KEYS) for _ in range(chance.randrange(4)))
    return "{" + ", ".join(f"{key}: {value(chance, depth)}" for key in keys) + "}"


def bodies() -> Iterator[bytes]:
    """Chat bodies with odd values in odd places; the same at each run."""
    chance = random.Random(24)
    for number in range(6000):
        odd, content = value(chance), f'"hi{" long" * 2000 if number % 20 == 0 else ""}"'
        where = chance.randrange(4)
        fields = ['"model": "m"', f'"user": {odd}' if where == 0 else '"n": 1']
        inside = ['"role": "user"', f'"content": {chance.choice(ATOMS) if where == 1 else content}']
        if where == 2:
            inside.insert(chance.randrange(3), f"{chance.choice(KEYS)}: {odd}")
        messages = f'"messages": [{{{", ".join(inside)}}}]'
        fields.insert(chance.randrange(3), messages)
        if where == 3:
            fields.insert(chance.randrange(4), f"{chance.choice(KEYS)}: {odd}")
        yield ("{" + ", ".join(fields) + "}").encode()


SHOW = "text => JSON.stringify(JSON.parse(text))"
READERS: dict[str, Callable[[str], object]] = {"python": json.loads, "rust": pydantic_core.from_json}


def alike(one: object, other: object) -> bool:
    """Equal, types included, but for the sign of zero."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(alike, one, other))
    return type(one) is type(other) and one == other and not (isinstance(one, float) and math.isinf(one))


def floats(value: object) -> object:
    """Numbers as JavaScript has them."""
    if isinstance(value, dict):
        return {key: floats(each) for key, each in value.items()}
    if isinstance(value, list):
        return [floats(each) for each in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    assert len(dict(pairs)) == len(pairs), "a key written twice went on"
    return dict(pairs)


def test_what_goes_on_is_read_alike_by_all_readers() -> None:
    """Bodies that are not refused reach the upstream in bytes in which all readers, ours too, see the same."""
    went = refusals = 0
    context = quickjs.Context()
    parse = context.eval(SHOW)
    for body in bodies():
        try:
            chat, _ = read_request(body)
        except BadBody:
            refusals += 1
            continue
        went += 1
        sent = write_request(chat, "m").decode()
        seen = json.loads(sent, object_pairs_hook=unique)
        for name, read in READERS.items():
            assert alike(read(sent), seen), (name, body)
        shown = json.loads(parse(sent))
        assert alike(floats(shown), floats(seen)), ("javascript", body)
        message = seen["messages"][0]
        assert message["content"] == chat.messages[0].content or message["content"] in ([], None), body
    assert went > 500 and refusals > 500, (went, refusals)
