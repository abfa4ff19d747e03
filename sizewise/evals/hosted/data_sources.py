"""Data sources of eval runs: read and checked; the rows of a data set, and the request that each becomes. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta, Raw, Struct

from sizewise.errors import BadBody, BadRequest
from sizewise.evals.hosted.messages import Json, TemplateMessage, plain_messages
from sizewise.evals.hosted.templates import look_up
from sizewise.evals.scorers import compile_schema
from sizewise.routing.structured_output import OutputSchema

SHOWN_CONTENT_BYTES = 65_536
"""Rows that came in the request are shown with the run up to this size; longer ones are shown as none."""


class DataRow(Struct, frozen=True):
    """`sample`: an answer that is there already."""

    item: Json
    sample: Json | None = None


class FileContent(Struct, frozen=True, tag="file_content", tag_field="type"):
    content: list[DataRow]


class FileId(Struct, frozen=True, tag="file_id", tag_field="type"):
    id: str


class StoredCompletionsQuery(Struct, frozen=True, tag="stored_completions", tag_field="type"):
    """Chat completions are not stored by this server."""


class ResponsesQuery(Struct, frozen=True, tag="responses", tag_field="type"):
    """Selects stored responses of the project. Times: unix seconds, inclusive."""

    model: str | None = None
    metadata: dict[str, str] | None = None
    created_after: int | None = None
    created_before: int | None = None
    instructions_search: str | None = None


class MessageTemplate(Struct, frozen=True, tag="template", tag_field="type"):
    template: Annotated[list[TemplateMessage], Meta(min_length=1)]


class ItemReference(Struct, frozen=True, tag="item_reference", tag_field="type"):
    item_reference: str


class TextFormat(Struct, frozen=True):
    format: Json | None = None


class SamplingParams(Struct, frozen=True):
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    max_completion_tokens: Annotated[int, Meta(ge=1)] | None = None
    reasoning_effort: str | None = None
    response_format: Json | None = None
    text: TextFormat | None = None
    tools: list[Json] | None = None


class JsonlSource(Struct, frozen=True, tag="jsonl", tag_field="type"):
    """Rows with samples: no model is asked for an answer."""

    source: FileContent | FileId
    model: str = ""


class CompletionsSource(Struct, frozen=True, tag="completions", tag_field="type"):
    source: FileContent | FileId | StoredCompletionsQuery
    model: str = ""
    input_messages: MessageTemplate | ItemReference | None = None
    sampling_params: SamplingParams = SamplingParams()


class ResponsesSource(Struct, frozen=True, tag="responses", tag_field="type"):
    source: FileContent | FileId | ResponsesQuery
    model: str = ""
    input_messages: MessageTemplate | ItemReference | None = None
    sampling_params: SamplingParams = SamplingParams()


DataSource = JsonlSource | CompletionsSource | ResponsesSource


def read_source(raw: Raw) -> DataSource:
    """Raises BadBody."""
    try:
        source: DataSource = msgspec.json.decode(raw, type=DataSource)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at `$")
        at = "data_source" + path.rstrip("`")
        raise BadBody(f"`{at}`: {reason[:1].lower()}{reason[1:]}", "see docs/how-to/move-evals.md", param=at) from error
    if isinstance(source.source, StoredCompletionsQuery):
        raise BadBody(
            "this server stores responses, and no chat completions",
            "use the data source `responses` with the source `responses`, or export the completions as JSON lines",
            param="data_source.source",
        )
    if isinstance(source, JsonlSource):
        return source
    if source.model and source.input_messages is None:
        hint = 'such as {"type": "template", "template": [{"role": "user", "content": "{{ item.question }}"}]}'
        raise BadBody("the model gets no `input_messages`", hint, param="data_source.input_messages")
    if not source.model and not isinstance(source.source, ResponsesQuery):
        raise BadBody("`data_source.model` is missing", "name the model to be evaluated", param="data_source.model")
    if isinstance(source.input_messages, MessageTemplate):
        for place, message in enumerate(source.input_messages.template):
            try:
                message.check(f"data_source.input_messages.template[{place}]")
            except BadRequest as error:
                raise BadBody(error.message, error.hint, param=error.param) from error
    return source


def read_jsonl(content: bytes, most: int) -> list[DataRow]:
    """Raises BadRequest, with the line."""
    rows = list[DataRow]()
    for number, line in enumerate(content.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            rows.append(msgspec.json.decode(line, type=DataRow))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            hint = 'each line is an object such as {"item": {"question": "..."}}'
            raise BadRequest(f"line {number} of the file cannot be read: {str(error)[:200]}", hint) from error
        check_count(len(rows), most)
    return rows


def check_count(rows: int, most: int) -> None:
    """Raises BadRequest."""
    if rows > most:
        hint = "split the data, or raise `max_items` in [evals] of sizewise.toml"
        raise BadRequest(f"the data has more than {most:,} items", hint, param="data_source")


def check_rows(rows: Sequence[DataRow], schema: OutputSchema | None) -> None:
    """Raises BadRequest for the first row that the eval's `item_schema` does not allow, without quoting it."""
    if not rows:
        raise BadRequest("the data has no item", "add one", param="data_source")
    for number, row in enumerate(rows, 1):
        found = None if schema is None else schema.check_text(msgspec.json.encode(row.item).decode())
        if found is not None:
            raise BadRequest(
                f"item {number} does not fit the eval's `item_schema`: {found.description}",
                "change the item or the schema",
                param="data_source",
            )


def item_schema(config: Json) -> OutputSchema | None:
    """Of an eval's `data_source_config`. Raises BadRequest."""
    schema = config.get("item_schema")
    return compile_schema(schema) if isinstance(schema, dict) and schema else None


def chat_body(source: CompletionsSource | ResponsesSource, row: DataRow) -> Json:
    """The body of a chat request for the answer to one row. Raises BadRequest."""
    values: Json = {"item": row.item, "sample": row.sample or {}}
    asked = source.input_messages
    assert asked is not None
    if isinstance(asked, MessageTemplate):
        messages = [each.fill_in(values) for each in asked.template]
    else:
        messages = plain_messages(look_up(asked.item_reference, values))
    params = source.sampling_params
    text = params.text.format if params.text is not None else None
    wanted: Json = {
        "temperature": params.temperature,
        "top_p": params.top_p,
        "seed": params.seed,
        "max_completion_tokens": params.max_completion_tokens,
        "reasoning_effort": params.reasoning_effort,
        "response_format": params.response_format or (_chat_format(text) if text else None),
        "tools": [_chat_tool(each) for each in params.tools or ()] or None,
    }
    return {
        "model": source.model,
        "messages": messages,
        **{name: value for name, value in wanted.items() if value is not None},
    }


def _chat_format(text: Json) -> Json:
    """Of the Responses API, as the chat API has it."""
    if text.get("type") != "json_schema":
        return text
    return {"type": "json_schema", "json_schema": {name: text[name] for name in text if name != "type"}}


def _chat_tool(tool: Json) -> Json:
    """Raises BadRequest for a tool that the provider would run."""
    if tool.get("type") != "function":
        raise BadRequest(
            f"a tool of type {str(tool.get('type'))[:50]!r} cannot be evaluated here",
            "use functions",
            param="data_source.sampling_params.tools",
        )
    return tool if "function" in tool else {"type": "function", "function": {n: tool[n] for n in tool if n != "type"}}


def shown_source(raw: bytes) -> Json:
    """As a run shows it: rows that came with the request up to SHOWN_CONTENT_BYTES."""
    found: Json = msgspec.json.decode(raw)
    if len(raw) > SHOWN_CONTENT_BYTES and found.get("source", {}).get("type") == "file_content":
        found["source"]["content"] = []
    return found


def answer_values(row: DataRow, text: str, calls: Sequence[Json], model: str, reason: str) -> Json:
    """What graders read: `item`, and of the answer `output_text`, `output_json`, `output_tools` and more."""
    sample: Json = {"output_text": text, "output_tools": list(calls), "model": model, "finish_reason": reason}
    message = {"role": "assistant", "content": text, "tool_calls": list(calls)}
    sample["choices"] = [{"message": message, "finish_reason": reason}]
    return {"item": row.item, "sample": sample | dict(_json_of(text))}


def given_values(row: DataRow) -> Json:
    """The same of a sample that came with the data."""
    sample = dict(row.sample or {})
    text = sample.get("output_text")
    return {"item": row.item, "sample": (dict(_json_of(text)) if isinstance(text, str) else {}) | sample}


def _json_of(text: str) -> Iterator[tuple[str, object]]:
    if text[:1] in ("{", "["):
        try:
            yield "output_json", msgspec.json.decode(text)
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            return
