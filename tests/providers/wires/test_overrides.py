"""A wire bent for one endpoint: fields renamed and left out of its requests, everything else as it was."""

from __future__ import annotations

import json

from sizewise.providers.wires.openai.request_response import read_embed, read_request
from sizewise.providers.wires.openai.wire import WIRE
from sizewise.providers.wires.overrides import apply_overrides

RENAME = {"max_tokens": "max_completion_tokens"}


def sent(leave_out: tuple[str, ...] = (), **more: object) -> dict[str, object]:
    body = {"model": "auto", "messages": [{"role": "user", "content": "é"}], "x_unknown": [1.50], **more}
    chat, _ = read_request(json.dumps(body).encode())
    shown: dict[str, object] = json.loads(apply_overrides(WIRE, RENAME, leave_out).write_request(chat, "theirs"))
    return shown


def test_a_field_is_sent_under_its_other_name_and_the_rest_as_it_was() -> None:
    assert sent(max_tokens=5) == {
        "model": "theirs",
        "messages": [{"role": "user", "content": "é"}],
        "x_unknown": [1.5],
        "max_completion_tokens": 5,
    }


def test_where_both_names_are_there_the_endpoints_own_stays() -> None:
    shown = sent(max_tokens=5, max_completion_tokens=7)
    assert shown["max_completion_tokens"] == 7 and "max_tokens" not in shown


def test_what_it_would_refuse_is_left_out_also_where_we_added_it() -> None:
    assert "stream_options" in sent(stream=True)
    assert "stream_options" not in sent(("stream_options",), stream=True)
    assert "stream_options" not in sent(("stream_options",), stream=True, stream_options={"include_usage": True})


def test_an_embedding_request_is_bent_alike() -> None:
    embed, _ = read_embed(b'{"model":"auto","input":"a","user":"me"}')
    assert json.loads(apply_overrides(WIRE, {}, ("user",)).write_embed(embed, "m")) == {"model": "m", "input": "a"}


def test_a_wire_that_nobody_bends_is_the_very_same() -> None:
    assert apply_overrides(WIRE, {}, ()) is WIRE
