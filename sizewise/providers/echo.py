"""Echo model for tests and first steps: repeats the prompt and, on cue, behaves like real models do.

It repeats the last user message word by word. Cues in double brackets anywhere in that message are obeyed and not
repeated; `[[echo/small: fail]]` applies to that model alone. A provider with `wire = "echo"` sets default cues in a
header: `headers = {cues = "[[logprob -3]]"}`.

    [[say some words]]            replies with these words instead
    [[repeat 50]]                 repeats the reply that many times
    [[think some words]]          emits this as reasoning first
    [[tool name {"a": 1}]]        calls a tool, if the request offers any; given twice, makes two parallel calls
    [[call]]                      calls one of the offered tools, with arguments read from the user message
    [[logprob -0.5]]              log-probability of each token, if requested (default -0.1)
    [[finish length]]             the finish reason
    [[uncounted]]                 reports no usage
    [[slow 0.2]]                  seconds before the first word      [[pace 0.01]]  and before each further word
    [[hang]]                      hangs until cancelled              [[hang after=3]]  after three words
    [[wait]]                      waits for `gate` before the first word
    [[fail]]                      is unreachable                     [[fail after=3]]  fails after three words
    [[fail refused]]              also: garbled, slow, upstream, unavailable, toolong
    [[busy retry_after=2]]        is overloaded
    times=1 with fail or busy:    only on the first attempt of a request, so that a retry succeeds

A token is a word. A final assistant message is continued; a final tool result is repeated. A call that `tool_choice`
requires is made without a cue. If JSON is requested, the reply is a value of the schema's shape made from the words;
[[say some words]] breaks the schema, but not again when the model is asked to correct its reply. Embeddings are made
from a hash of the text; the relevance of a document is the share of the query's words that it has.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import math
import re
from collections.abc import AsyncIterator

import msgspec
from msgspec import Raw, Struct

from sizewise.data_class import DataClass, Place
from sizewise.errors import (
    BadBody,
    ContextLengthExceeded,
    ModelUnavailable,
    SizewiseError,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamProtocolError,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from sizewise.handler import ChoiceFinished, ReasoningDelta, Request, Send, TextDelta, ToolDelta
from sizewise.messages import (
    ChatRequest,
    Choice,
    EmbeddingRequest,
    FunctionCall,
    Message,
    Reply,
    RerankRequest,
    ToolCall,
    Usage,
)
from sizewise.model_card import ModelCard, ModelEndpoint
from sizewise.money import Price
from sizewise.providers.echo_json import json_answer
from sizewise.providers.echo_tool_calls import calls_forbidden, choose_call
from sizewise.providers.wires.original_body import translated_fields

DIMENSIONS = 8
MAX_DIMENSIONS = 32  # bytes of a SHA-256 hash
MAX_REPEAT = 10_000
PRICE = Price(input=1_000, output=2_000, cached=100, source="made up, so that sums can be checked", date="2026-11-25")
"""1,000 pico-dollars per input token, 2,000 per output token."""

CUE = re.compile(r"\[\[(?:(?P<to>[\w./@-]+):\s*)?(?P<verb>\w+)\s*(?P<rest>(?:[^\]]|\](?!\]))*)\]\]")
FAILURES: tuple[tuple[str, type[SizewiseError], str], ...] = (
    ("down", UpstreamUnreachable, "the echo cannot be reached"),
    ("refused", UpstreamRejected, "the echo refuses this request"),
    ("garbled", UpstreamProtocolError, "the echo breaks the protocol"),
    ("slow", UpstreamTimeout, "the echo took too long"),
    ("upstream", UpstreamError, "the echo failed"),
    ("unavailable", ModelUnavailable, "the echo is not there"),
    ("toolong", ContextLengthExceeded, "the echo finds this too long"),
    ("busy", UpstreamOverloaded, "the echo has no time"),
)

_encode = msgspec.json.Encoder().encode


def echo_card(
    name: str = "echo/small",
    *,
    cues: str = "",
    parameters: int | None = 100_000_000,
    context: int | None = 8_192,
    price: Price = PRICE,
    prefill: bool = True,
    tools: bool | None = True,
    logprobs: bool | None = True,
    place: Place = "process",
) -> ModelCard:
    """Model card of an echo model in this process."""
    return ModelCard(
        name,
        ModelEndpoint("echo", wire="echo", place=place, headers=(("cues", cues),)),
        name.partition("/")[2] or name,
        parameters=parameters,
        context=context,
        tools=tools,
        logprobs=logprobs,
        prefill=prefill,
        price=price,
    )


class Cue(Struct, frozen=True):
    """One cue. `after` counts words, `times` attempts of the same request; 0 means always."""

    verb: str
    rest: str = ""
    after: int = 0
    times: int = 0
    retry_after: float | None = None

    def number(self, minimum: float, maximum: float) -> float:
        try:
            return min(maximum, max(minimum, float(self.rest)))
        except ValueError:
            raise BadBody(f"the echo does not understand [[{self.verb} ...]] here", "a number is required") from None


class Script(Struct):
    """The combined cues of one attempt."""

    text: str = ""
    reasoning: str = ""
    literal: bool = False  # `text` comes from a [[say]] cue
    calls: list[str] = []
    calls_tools: bool = False
    logprob: float = -0.1
    finish: str = ""
    reports_usage: bool = True
    delay_s: float = 0.0
    word_delay_s: float = 0.0
    waits_for_gate: bool = False
    failure: Cue | None = None  # fail, busy or hang
    repeat: int = 1


class EchoModel:
    """Handler. Tests read `request_count` (attempts) and `cancel_count` (cancelled attempts)."""

    def __init__(self, card: ModelCard, gate: asyncio.Event | None = None) -> None:
        self._card = card
        self._gate = gate
        self._last = ("", 0)  # trace id, and attempts seen for it
        self.request_count = 0
        self.cancel_count = 0

    async def __call__(self, request: Request, send: Send) -> Reply:
        self.request_count += 1
        trace, number = self._last
        self._last = (request.trace_id, number + 1 if trace == request.trace_id else 1)
        try:
            if isinstance(request.payload, RerankRequest):
                return _scores(request.payload, self._card.model)
            if isinstance(request.payload, EmbeddingRequest):
                return self._vectors(request.payload)
            return await self._chat(request.payload, send)
        except asyncio.CancelledError:
            self.cancel_count += 1
            raise

    async def count_tokens(self, chat: ChatRequest, data_class: DataClass) -> int:
        """The words of the prompt, as in its usage. Raises NotTranslatable."""
        translated_fields(chat.fields)
        return _prompt_words(chat)

    async def _chat(self, chat: ChatRequest, send: Send) -> Reply:
        translated_fields(chat.fields)  # refuse untranslatable fields as every model does
        script = _script(chat, self._card, self._last[1])
        if self._gate is not None and script.waits_for_gate:
            await self._gate.wait()
        if script.delay_s:
            await asyncio.sleep(script.delay_s)
        await _fail_on_cue(script, 0)
        choices: list[Choice] = []
        for index in range(chat.n):
            choices.append(await _choice(chat, script, index, send))
        return Reply(tuple(choices), _usage(chat, choices, script), self._card.model, "echo")

    def _vectors(self, embed: EmbeddingRequest) -> Reply:
        """Token inputs are embedded as the text of their numbers."""
        texts = [each if isinstance(each, str) else " ".join(map(str, each)) for each in embed.inputs]
        size = embed.dimensions or DIMENSIONS
        if size > MAX_DIMENSIONS:
            raise BadBody(
                f"the echo model does not support {size} dimensions",
                f"use at most {MAX_DIMENSIONS}",
                param="dimensions",
            )
        words = sum(len(text.split()) for text in texts)
        return Reply((), Usage(words), self._card.model, embeddings=tuple(_vector(text, size) for text in texts))


def _scores(rerank: RerankRequest, model: str) -> Reply:
    asked, *said = (str(each).lower().split() for each in rerank.inputs)
    scores = tuple((sum(word in words for word in asked) / max(1, len(asked)),) for words in map(set, said))
    return Reply((), Usage(len(asked) * len(said) + sum(map(len, said))), model, embeddings=scores)


async def _choice(chat: ChatRequest, script: Script, index: int, send: Send) -> Choice:
    """One of `n` choices; sends events if the request streams."""
    tell = send if chat.stream else _discard_event
    if script.reasoning:
        await tell(ReasoningDelta(index, script.reasoning))
    if script.calls:
        return await _calls(script, index, tell)
    said: list[str] = []
    async for word in _words(chat, script):
        said.append(word)
        await tell(TextDelta(index, word, _logprobs([word], script) if chat.logprobs else None))
    cut = chat.max_tokens is not None and len(said) >= chat.max_tokens
    finish = script.finish or ("length" if cut else "stop")
    await tell(ChoiceFinished(index, finish))
    probable = _logprobs(said, script) if chat.logprobs else None
    return Choice(index, "".join(said), finish, reasoning=script.reasoning, logprobs=probable)


async def _words(chat: ChatRequest, script: Script) -> AsyncIterator[str]:
    """The reply's words with their leading spaces, less those that a final assistant message already has."""
    words = re.findall(r"\s*\S+", script.text) * script.repeat
    begun = chat.messages[-1].text if chat.messages[-1].role == "assistant" else ""
    while begun and words and begun.startswith(words[0]):
        begun = begun[len(words[0]) :]
        del words[0]
    for number, word in enumerate(words[: chat.max_tokens]):
        if number:
            await asyncio.sleep(script.word_delay_s)
            await _fail_on_cue(script, number)
        yield word
    if script.failure and script.failure.after >= len(words):
        await _fail_on_cue(script, script.failure.after)


async def _calls(script: Script, index: int, send: Send) -> Choice:
    """Parallel calls: the first half of each call's arguments, then the second halves."""
    calls = [(f"call_echo{number or ''}", *_named(call)) for number, call in enumerate(script.calls)]
    for number, (id, name, arguments) in enumerate(calls):
        await send(ToolDelta(choice=index, index=number, id=id, name=name, json=arguments[: len(arguments) // 2]))
    await asyncio.sleep(0)
    await _fail_on_cue(script, 1)
    for number, (_, _, arguments) in enumerate(calls):
        await send(ToolDelta(index, number, json=arguments[len(arguments) // 2 :]))
    await send(ChoiceFinished(index, "tool_calls"))
    made = tuple(ToolCall(FunctionCall(name, arguments), id) for id, name, arguments in calls)
    return Choice(index=index, text="", finish_reason="tool_calls", tool_calls=made, reasoning=script.reasoning)


def _named(call: str) -> tuple[str, str]:
    """The tool's name and its arguments."""
    name, _, arguments = call.partition(" ")
    return name, arguments


async def _discard_event(event: object) -> None:
    """The `send` of a request that does not stream."""


async def _fail_on_cue(script: Script, word_count: int) -> None:
    """Fails or hangs if a cue is set for this word count."""
    cue = script.failure
    if cue is None or cue.after != word_count:
        return
    if cue.verb == "hang":
        await asyncio.Event().wait()
    kind = "busy" if cue.verb == "busy" else cue.rest or "down"
    for name, error, message in FAILURES:
        if name == kind:
            raise error(message, "the request said so", retry_after=cue.retry_after)
    raise BadBody(
        f"the echo model does not know the failure {kind!r}", f"known: {', '.join(row[0] for row in FAILURES)}"
    )


def _script(chat: ChatRequest, card: ModelCard, number: int) -> Script:
    """The card's default cues, then the request's cues for this model; later cues win."""
    asked = chat.last_user_text()
    script = Script(text=CUE.sub("", asked).strip())
    for source in (dict(card.endpoint.headers).get("cues", ""), asked):
        for match in CUE.finditer(source):
            if match["to"] in (None, card.name):
                _apply(script, _cue(match["verb"], match["rest"]), number)
    _tools(chat, script)
    if chat.schema and not script.literal:
        script.text = json_answer(chat, script.text)
    return script


def _tools(chat: ChatRequest, script: Script) -> None:
    """Decides whether a tool is called. After a tool result the reply repeats it: a cue calls once per question."""
    results = [message.text for message in itertools.takewhile(_result, reversed(chat.messages))]
    words = script.text
    if results:
        script.text, script.calls = "\n".join(reversed(results)), []
    if calls_forbidden(chat):
        script.calls = []
    elif not script.calls and (call := choose_call(chat, words, script.calls_tools)):
        script.calls = [call]


def _result(message: Message) -> bool:
    return message.role == "tool"


def _cue(verb: str, rest: str) -> Cue:
    found: dict[str, str] = {}
    if verb in ("fail", "busy", "hang"):
        pairs = re.findall(r"(after|times|retry_after)=([\d.]+)", rest)
        found = dict(pairs)
        rest = re.sub(r"(?:after|times|retry_after)=[\d.]+", "", rest)
    try:
        return msgspec.convert({"verb": verb, "rest": rest.strip(), **found}, Cue, strict=False)
    except msgspec.ValidationError as error:
        raise BadBody(
            f"the echo does not understand [[{verb} ...]]: {error}",
            "see the cues of the echo model",
        ) from error


def _apply(script: Script, cue: Cue, number: int) -> None:
    match cue.verb:
        case "say":
            script.text, script.literal = cue.rest, True
        case "repeat":
            script.repeat = int(cue.number(1, MAX_REPEAT))
        case "think":
            script.reasoning = cue.rest
        case "tool":
            script.calls.append(cue.rest)
        case "call":
            script.calls_tools = True
        case "logprob":
            script.logprob = cue.number(-100, 0)
        case "finish":
            script.finish = cue.rest
        case "uncounted":
            script.reports_usage = False
        case "slow":
            script.delay_s = cue.number(0, 60)
        case "pace":
            script.word_delay_s = cue.number(0, 60)
        case "wait":
            script.waits_for_gate = True
        case "fail" | "busy" | "hang":
            if not cue.times or number <= cue.times:
                script.failure = cue
        case _:
            raise BadBody(f"the echo model does not know the cue {cue.verb!r}", "see the cues of the echo model")


def _logprobs(words: list[str], script: Script) -> Raw:
    tokens = [{"token": w, "logprob": script.logprob, "bytes": list(w.encode()), "top_logprobs": []} for w in words]
    return Raw(_encode({"content": tokens}))


def _usage(chat: ChatRequest, choices: list[Choice], script: Script) -> Usage:
    """Words count as tokens; a tool call counts as one, reasoning by its words."""
    if not script.reports_usage:
        return Usage(estimated=True)
    read = _prompt_words(chat)
    thought = sum(len(choice.reasoning.split()) for choice in choices)
    said = sum(len(choice.text.split()) + len(choice.tool_calls) for choice in choices)
    return Usage(read, said + thought, reasoning=thought)


def _prompt_words(chat: ChatRequest) -> int:
    return sum(len(message.text.split()) for message in chat.messages)


def _vector(text: str, size: int) -> tuple[float, ...]:
    """A unit vector, the same for the same text."""
    raw = [byte - 127.5 for byte in hashlib.sha256(text.encode()).digest()[:size]]
    length = math.sqrt(sum(x * x for x in raw))
    return tuple(x / length for x in raw)
