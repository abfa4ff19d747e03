"""No marker around a passage reaches a reader, whole or in a stream, also where a model changed it as it copied."""

from __future__ import annotations

import random

import msgspec
import pytest

from sizewise.guardrails.marker_cleanup import without_markers
from sizewise.guardrails.untrusted_content import ContentMarkers
from sizewise.handler import Event, Request, Send, TextDelta, ToolDelta
from sizewise.messages import ChatRequest, Choice, FunctionCall, Reply, ToolCall, Usage
from sizewise.providers.wires.openai.request_response import read_request
from tests.routing.router_harness import asking

TOKEN = "0123456789abcdef"
WRAPPED = ContentMarkers(TOKEN).wrap("You have 45 days.", "[1] returns.md, Returns > How long")
COPIES = [
    (f"Here:\n{WRAPPED}", "Here:\nYou have 45 days.\n"),
    ("<<data 0123456 from [1] returns.md>> 45 days <<end 01234>>.", " 45 days ."),
    (f"<<data {TOKEN} from [1] returns.md", ""),
    (f"The token {TOKEN}.", "The token ."),
    ("45 days <<end>>", "45 days "),
]
OTHERS = ["a < b, x << 1, vector<vector<int>> v; std::cout << data << end;", "<data>45</data> 0123 deadbeef <"]


def request(text: str, stream: bool = True) -> Request:
    body = {"model": "m", "messages": [{"role": "user", "content": text}], "stream": stream}
    return asking(read_request(msgspec.json.encode(body))[0])


class Copying:
    """A model that says `text`, in pieces of random lengths."""

    def __init__(self, text: str, seed: int = 0, tool: bool = False) -> None:
        self.text, self.tool, self._chance = text, tool, random.Random(seed)

    async def __call__(self, request: Request, send: Send) -> Reply:
        at = 0
        while at < len(self.text):
            size = self._chance.randint(1, 7)
            piece = self.text[at : at + size]
            await send(ToolDelta(0, 0, json=piece) if self.tool else TextDelta(0, piece))
            at += size
        call = ToolCall(FunctionCall("look", self.text), "c")
        return Reply((Choice(0, "" if self.tool else self.text, "stop", (call,) if self.tool else ()),), Usage(), "m")


async def heard(model: Copying, said: str) -> tuple[str, Reply]:
    pieces: list[str] = []

    async def send(event: Event) -> None:
        if isinstance(event, TextDelta):
            pieces.append(event.text)
        elif isinstance(event, ToolDelta):
            pieces.append(event.json)

    reply = await without_markers(model)(request(said), send)
    return "".join(pieces), reply


@pytest.mark.parametrize(("copy", "shown"), [*COPIES, *zip(OTHERS, OTHERS, strict=True)])
async def test_a_copied_marker_is_removed_from_the_reply_and_from_its_stream(copy: str, shown: str) -> None:
    for seed in range(40):
        stream, reply = await heard(Copying(copy, seed), f"{WRAPPED}\n\nHow long?")
        assert stream == reply.choices[0].text == shown


async def test_a_marker_in_the_arguments_of_a_call_is_removed() -> None:
    written = '{"q": "\\u003c\\u003cdata 0123456789abcdef\\u003e\\u003e\\n45 days"}'
    for seed in range(40):
        stream, reply = await heard(Copying(written, seed, tool=True), WRAPPED)
        (call,) = reply.choices[0].tool_calls
        assert call.function is not None and stream == call.function.arguments == '{"q": "45 days"}'


async def test_a_request_without_passages_is_passed_on_as_it_is() -> None:
    said = "What does <<data 42>> mean?"

    async def model(request: Request, send: Send) -> Reply:
        assert isinstance(request.payload, ChatRequest)
        return Reply((Choice(0, f"{said} {send is listen}"),), Usage(), "m")

    async def listen(event: Event) -> None:
        pass

    reply = await without_markers(model)(request(said), listen)
    assert reply.choices[0].text == f"{said} True"
