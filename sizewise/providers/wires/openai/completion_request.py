"""OpenAI's legacy text completions as chat requests, one for each prompt; pure, calls no model.

Source: the OpenAI API reference, Completions (legacy). A chat model gets the prompt as a user's message. What it cannot
express is named in `untranslated` of the original body, which a model with an endpoint of its own for text completions
gets instead (completion_upstream.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta, Raw, Struct

from sizewise.errors import BadBody
from sizewise.messages import ChatRequest, JsonFields, Message
from sizewise.providers.wires.openai.request_response import (
    EMPTY_VALUES,
    Penalty,
    ResponseFormatType,
    StreamOptions,
    Token,
    decode_client_body,
)
from sizewise.providers.wires.original_body import ORIGINAL_FIELD, OriginalBody

WIRE_NAME = "completions"
"""In OriginalBody.wire."""
DEFAULT_MAX_TOKENS = 16
"""The API's."""
MAX_PROMPTS = 2048
CHAT_FIELDS: Mapping[str, str] = {
    "messages": "use /v1/chat/completions for messages",
    "tools": "use /v1/chat/completions for tools",
    "tool_choice": "use /v1/chat/completions for tools",
    "functions": "use /v1/chat/completions for functions",
    "function_call": "use /v1/chat/completions for functions",
    "max_completion_tokens": "use `max_tokens`",
    "top_logprobs": "use `logprobs`, a number from 0 to 20",
}
"""Fields of the chat API, which mean nothing here, and what to use instead."""
OWN_FIELDS = frozenset({"prompt", "suffix", "echo", "best_of", "logprobs", "max_tokens", "n"})
"""Fields that a chat model does not get as they are."""
RAW_FIELDS = frozenset({"prompt", "suffix", "echo", "max_tokens"})
"""Fields, and some of their values, that only an endpoint of text completions can obey."""

_encode = msgspec.json.Encoder().encode
Texts = list[str | Token | list[Token]]


class CompletionBody(Struct):
    """The type-checked fields of a text completion, with the API's own bounds; all others pass unread."""

    model: str
    prompt: str | Annotated[Texts, Meta(min_length=1)] | None = None
    suffix: str | None = None
    max_tokens: Annotated[int, Meta(ge=0, le=10_000_000)] | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    best_of: Annotated[int, Meta(ge=1, le=128)] | None = None
    echo: bool | None = None
    logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    logit_bias: dict[str, float] | None = None
    stop: str | list[str] | None = None
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    user: str | None = None
    response_format: ResponseFormatType | None = None


_body = msgspec.json.Decoder(CompletionBody)


class TextCompletion(Struct, frozen=True):
    """A text completion. `fields`: the body without `sizewise` and without values that mean nothing."""

    model: str
    prompts: list[str] | list[list[int]]
    fields: JsonFields
    n: int  # choices of each prompt in the answer
    best_of: int  # choices of each prompt that are made
    max_tokens: int
    echo: bool  # the answer begins with the prompt
    logprobs: int | None  # most likely tokens to report with each token; None: no log-probabilities
    stream: bool
    include_usage: bool
    schema: bool

    @property
    def echoes_here(self) -> bool:
        """Whether the gateway puts the prompt in front: log-probabilities of the prompt are the model's to give."""
        return self.echo and self.logprobs is None


def read_completion(body: bytes, *, is_checked: bool = False) -> tuple[TextCompletion, Raw | None]:
    """A text completion and its `sizewise` object. Raises BadBody. `is_checked`: as in `decode_client_body`."""
    seen, sent = decode_client_body(body, _body, is_checked)
    ours = sent.pop("sizewise", None)
    sent.pop(ORIGINAL_FIELD, None)  # set only by our APIs
    fields = {name: raw for name, raw in sent.items() if name == "prompt" or bytes(raw) not in EMPTY_VALUES}
    strange = next((name for name in CHAT_FIELDS if name in fields), None)
    if strange is not None:
        raise BadBody(f"`{strange}` is not a field of text completions", CHAT_FIELDS[strange], param=strange)
    n = seen.n or 1
    best_of = seen.best_of or n
    if best_of < n:
        raise BadBody(f"`best_of` is {best_of}, less than `n`", f"use at least {n}", param="best_of")
    if best_of > n and seen.stream:
        hint = "leave out `stream` or `best_of`"
        raise BadBody("`best_of` cannot be streamed: the best is known at the end", hint, param="best_of")
    options, shape = seen.stream_options, seen.response_format
    asked = TextCompletion(
        model=seen.model,
        prompts=_prompts(seen.prompt),
        fields=fields,
        n=n,
        best_of=best_of,
        max_tokens=DEFAULT_MAX_TOKENS if seen.max_tokens is None else seen.max_tokens,
        echo=seen.echo is True,
        logprobs=seen.logprobs,
        stream=seen.stream is True,
        include_usage=options is not None and options.include_usage,
        schema=shape is not None and shape.type != "text",
    )
    return asked, ours


def _prompts(raw: str | Texts | None) -> list[str] | list[list[int]]:
    """One text, several, one list of tokens, or several. Raises BadBody if there is none, or if they are mixed."""
    if raw is None:
        raise BadBody("`prompt` is missing", "send the text to complete", param="prompt")
    given = [raw] if isinstance(raw, str) else raw
    texts = [each for each in given if isinstance(each, str)]
    lists = [each for each in given if isinstance(each, list)]
    tokens = [each for each in given if isinstance(each, int)]
    if len(given) not in (len(texts), len(lists), len(tokens)):
        raise BadBody("`prompt` mixes texts and tokens", "send texts, or lists of tokens", param="prompt")
    if len(given) > MAX_PROMPTS and not tokens:
        hint = f"send at most {MAX_PROMPTS} at a time"
        raise BadBody(f"`prompt` has {len(given)} prompts, too many at once", hint, param="prompt")
    return texts or lists or [tokens]


def chat_requests(asked: TextCompletion) -> list[ChatRequest]:
    """One request for each prompt, in order. Each makes `best_of` choices."""
    shared = {name: raw for name, raw in asked.fields.items() if name not in OWN_FIELDS}
    shared["max_tokens"] = Raw(_encode(asked.max_tokens))
    if asked.best_of > 1:
        shared["n"] = Raw(_encode(asked.best_of))
    scored = asked.logprobs is not None or asked.best_of > asked.n
    if scored:
        shared["logprobs"] = Raw(b"true")
        if asked.logprobs:
            shared["top_logprobs"] = Raw(_encode(asked.logprobs))
    lost, sent = _untranslated(asked), _upstream_fields(asked)
    return [_chat(asked, prompt, shared, sent, lost, scored) for prompt in asked.prompts]


def _chat(
    asked: TextCompletion,
    prompt: str | list[int],
    shared: JsonFields,
    sent: JsonFields,
    untranslated: list[str],
    scored: bool,
) -> ChatRequest:
    text = prompt if isinstance(prompt, str) else " ".join(map(str, prompt))  # of tokens, only the length is read
    messages = Raw(_encode([{"role": "user", "content": text}]))
    original = OriginalBody(
        wire=WIRE_NAME,
        body=Raw(_encode({**sent, "prompt": prompt})),
        untranslated=untranslated,
        approximate=True,  # a raw completion is no chat, so neither answers for the other in a cache
    )
    return ChatRequest(
        model=asked.model,
        messages=[Message("user", text)],
        fields={**shared, "messages": messages, ORIGINAL_FIELD: original.to_field()},
        stream=asked.stream,
        include_usage=asked.include_usage,
        max_tokens=asked.max_tokens,
        n=asked.best_of,
        logprobs=scored,
        schema=asked.schema,
    )


def _untranslated(asked: TextCompletion) -> list[str]:
    """The fields that no chat model can obey."""
    lost = ["prompt"] if isinstance(asked.prompts[0], list) else []
    lost += ["suffix"] if "suffix" in asked.fields else []
    lost += ["echo"] if asked.echo and not asked.echoes_here else []
    return lost + (["max_tokens"] if not asked.max_tokens else [])


def _upstream_fields(asked: TextCompletion) -> JsonFields:
    """The body for an endpoint of text completions, without its prompt."""
    fields = {name: raw for name, raw in asked.fields.items() if name not in ("prompt", "model")}
    if asked.echoes_here or not asked.echo:
        fields.pop("echo", None)
    if asked.best_of == asked.n:
        fields.pop("best_of", None)
    return {**fields, "max_tokens": Raw(_encode(asked.max_tokens))}
