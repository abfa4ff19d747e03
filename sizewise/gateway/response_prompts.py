"""`prompt` of a Responses request: the text of a prompt of this server, as instructions or as the last message.

An id of OpenAI (`pmpt_...`) that is no file here stays in the request: it belongs to the upstream.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw, Struct
from msgspec.structs import replace

from sizewise.errors import BadBody
from sizewise.handler import RequestOptions
from sizewise.principal import Principal
from sizewise.prompts.prompt import PromptTemplate
from sizewise.prompts.prompt_expansion import AUTO, resolved
from sizewise.prompts.prompt_library import PromptLibrary
from sizewise.providers.wires.responses.request_in import ResponsesRequest

UPSTREAM_PREFIX = "pmpt_"

_encode = msgspec.json.Encoder().encode


class ResponsePrompt(Struct):
    """The field as a client sends it."""

    id: Annotated[str, Meta(max_length=200)]
    version: Annotated[str, Meta(max_length=64)] | None = None
    variables: dict[str, Any] | None = None


class PromptedRequest(Struct, frozen=True):
    """`prompt` None: the request names none of this server."""

    asked: ResponsesRequest
    prompt: PromptTemplate | None = None

    def options(self, options: RequestOptions) -> RequestOptions:
        return options if self.prompt is None else resolved(options, self.prompt, self.asked.body.model)


def with_prompt(asked: ResponsesRequest, library: PromptLibrary, principal: Principal) -> PromptedRequest:
    """Raises PathNotFound, BadBody."""
    if asked.body.prompt is None:
        return PromptedRequest(asked)
    try:
        said = msgspec.convert(asked.body.prompt, ResponsePrompt)
    except msgspec.ValidationError as error:
        raise BadBody(f"`prompt`: {error}", "name it: prompt: {id: NAME, variables: {...}}", param="prompt") from error
    if said.id.startswith(UPSTREAM_PREFIX) and library.find(principal, said.id) is None:
        if not asked.body.model or "input" not in asked.raw_fields:
            hint = "add them, or save the prompt here as a file: prompts/NAME.md"
            raise BadBody("a prompt of the upstream needs `model` and `input`", hint, param="prompt")
        return PromptedRequest(asked)
    prompt = library.get(principal, said.id, said.version or "")
    return PromptedRequest(_prompted(asked, prompt, prompt.render(_texts(said.variables or {}))), prompt)


def _texts(variables: Mapping[str, Any]) -> dict[str, object]:
    """Values, with the text of `input_text` parts. Raises BadBody for images and files."""
    values: dict[str, object] = {}
    for name, value in variables.items():
        kind = value.get("type") if isinstance(value, dict) else None
        if kind == "input_text":
            values[name] = value.get("text")
        elif kind in ("input_image", "input_file"):
            raise BadBody(
                f"the variable {name[:60]!r} is an {kind}, and prompts have texts and numbers",
                "send it as a part of a message in `input`",
                param="prompt",
            )
        else:
            values[name] = value
    return values


def _prompted(asked: ResponsesRequest, prompt: PromptTemplate, text: str) -> ResponsesRequest:
    fields = {name: raw for name, raw in asked.raw_fields.items() if name != "prompt"}
    body, items = asked.body, asked.input_items() if "input" in asked.raw_fields else []
    model = prompt.model or AUTO if body.model in (AUTO, "") else body.model
    instructions = body.instructions
    if prompt.role == "system":
        instructions = f"{text}\n\n{instructions}" if instructions else text
        fields["instructions"] = Raw(_encode(instructions))
        if not items:
            hint = "send a text beside the prompt, or write `role: user` in its file if it is the whole question"
            raise BadBody("`input` is missing: the prompt is an instruction", hint, param="input")
    else:
        part = {"type": "input_text", "text": text}
        items = [*items, Raw(_encode({"type": "message", "role": "user", "content": [part]}))]
        fields["input"] = Raw(_encode(items))
    fields["model"] = Raw(_encode(model))
    said = msgspec.json.decode(fields["input"], type=str | list[dict[str, Any]])
    return replace(
        asked,
        body=replace(body, model=model, input=said, instructions=instructions, prompt=None),
        raw_fields=fields,
    )
