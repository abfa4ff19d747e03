"""The longest answer that can be paid is told to the model in whatever wire the request goes on."""

from __future__ import annotations

import json

from sizewise.providers.wires.responses.request_in import read_request, unchanged_original
from sizewise.routing.request_rewrite import with_token_limit
from tests.limits.limiter_harness import chat


def test_a_chat_says_it_and_keeps_all_else() -> None:
    what = with_token_limit(chat("Hello", None, temperature=0.5), 77)
    assert what.max_tokens == 77
    assert {name: bytes(raw) for name, raw in what.fields.items()} == {
        **{name: bytes(raw) for name, raw in chat("Hello", None, temperature=0.5).fields.items()},
        "max_completion_tokens": b"77",
    }


def test_an_original_that_goes_on_as_it_came_says_it_too() -> None:
    asked = {"model": "a/b", "input": "Hello", "include": ["reasoning.encrypted_content"], "store": False}
    what = with_token_limit(read_request(json.dumps(asked).encode()).to_chat([]), 77)
    sent = unchanged_original(what)
    assert what.max_tokens == 77 and sent is not None
    assert {name: json.loads(bytes(raw)) for name, raw in sent.items()} == asked | {"max_output_tokens": 77}
