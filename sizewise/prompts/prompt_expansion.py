"""Prompt expansion: puts the prompt that a request names in front of its messages; knows no API and calls no model."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import msgspec
from msgspec import UNSET, Raw
from msgspec.structs import replace

from sizewise.errors import BadBody
from sizewise.handler import Handler, Request, RequestOptions, Send
from sizewise.messages import ChatRequest, Message, Reply
from sizewise.principal import Principal
from sizewise.prompt_reference import PromptReference
from sizewise.prompts.prompt import PromptTemplate
from sizewise.prompts.prompt_library import PromptLibrary

AUTO = "auto"


def with_prompts(handler: Handler, library: PromptLibrary) -> Handler:
    """`handler`, for requests that name a prompt."""

    def call(request: Request, send: Send) -> Coroutine[Any, Any, Reply]:
        if request.options.prompt is UNSET:
            return handler(request, send)
        return handler(expand(request, library), send)

    return call


def expand(request: Request, library: PromptLibrary) -> Request:
    """The request with its prompt as a message: a system prompt before all others, a user's after them. Its options
    name the version. Raises PathNotFound, BadBody.
    """
    named, payload = request.options.prompt, request.payload
    if named is UNSET or named.variables is None:
        return request
    if type(payload) is not ChatRequest:
        raise BadBody("only chats take a `prompt`", "remove it, or ask a chat model", param="prompt")
    prompt, text = render(library, request.principal, named)
    own = Raw(msgspec.json.encode({"role": prompt.role, "content": text}))
    said = msgspec.json.decode(payload.fields["messages"], type=list[Raw])
    encoded = msgspec.json.encode([*said, own] if prompt.role == "user" else [own, *said])
    model = prompt.model if prompt.model and payload.model in (AUTO, "") else payload.model
    fields = {**payload.fields, "messages": Raw(encoded)}
    if model != payload.model:
        fields["model"] = Raw(msgspec.json.encode(model))
    chat = replace(payload, model=model, messages=msgspec.json.decode(encoded, type=list[Message]), fields=fields)
    return replace(request, payload=chat, options=resolved(request.options, prompt, model))


def render(library: PromptLibrary, principal: Principal, named: PromptReference) -> tuple[PromptTemplate, str]:
    """Raises PathNotFound, BadBody."""
    prompt = library.get(principal, named.id, named.version)
    return prompt, prompt.render(named.variables or {})


def resolved(options: RequestOptions, prompt: PromptTemplate, model: str) -> RequestOptions:
    """`options` of a request that has the prompt's text: with its version, and its policy if they have none."""
    policy = options.policy or (prompt.policy if prompt.policy and model in (AUTO, "") else None)
    return replace(options, policy=policy, prompt=PromptReference(prompt.id, prompt.version, None))
