"""Base class of nodes that call a model: their parameters, request options and chat request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta

from sizewise.data_class import DataClass
from sizewise.errors import BadRequest
from sizewise.flows.language.types import Json
from sizewise.flows.node import Node, StaticText
from sizewise.handler import RequestOptions
from sizewise.messages import ChatRequest
from sizewise.money import parse_micro_dollars
from sizewise.prompt_reference import PromptReference
from sizewise.providers.wires.openai.request_response import read_request

_encode = msgspec.json.Encoder().encode


Count = Annotated[int, Meta(ge=1, le=10_000_000)]
Temperature = Annotated[float, Meta(ge=0, le=2)]
Ratio = Annotated[float, Meta(ge=0, le=1)]
UsdAmount = Annotated[str, Meta(pattern=r"^\d{1,9}(\.\d{1,6})?$")]


class ModelNode(Node, frozen=True, kw_only=True):
    """Asks a model."""

    model: Annotated[
        str,
        Meta(
            description="Model: auto, auto:POLICY, small, large or PROVIDER/MODEL.",
            extra_json_schema={"x-names": "models"},
        ),
    ] = "auto"
    policy: Annotated[str | None, Meta(description="Policy to use if the model is `auto`.")] = None
    system: Annotated[str | None, Meta(description="System prompt.")] = None
    prompt_id: Annotated[
        StaticText | None,
        Meta(
            description="Id of a prompt in the folder `prompts`; its text is added to the messages.",
            extra_json_schema={"x-names": "prompts"},
        ),
    ] = None
    variables: Annotated[dict[str, Json], Meta(description="Values of the variables of `prompt_id`.")] = {}
    max_tokens: Annotated[Count | None, Meta(description="Maximum output tokens.")] = None
    temperature: Annotated[
        Temperature | None, Meta(description="Temperature; 0 is as deterministic as the model can be.")
    ] = None
    max_cost_usd: Annotated[UsdAmount | None, Meta(description="Maximum cost of one call in dollars.")] = None
    max_ms: Annotated[Count | None, Meta(description="Timeout of the whole answer in milliseconds.")] = None
    min_quality: Annotated[Ratio | None, Meta(description="Minimum quality, 0 to 1 of the reference model.")] = None
    min_window: Annotated[
        Count | None,
        Meta(description="Minimum context window in tokens, whatever this call needs."),
    ] = None
    data_class: Annotated[DataClass | None, Meta(description="Data class; can only be stricter than the run's.")] = None
    online: Annotated[Literal["deny"] | None, Meta(description="`deny`: the call stays on this machine.")] = None

    def request_options(self) -> RequestOptions:
        cost = None if self.max_cost_usd is None else parse_micro_dollars(self.max_cost_usd) * 1_000_000
        return RequestOptions(
            policy=self.policy,
            max_cost=cost,
            max_latency_ms=self.max_ms,
            min_quality=self.min_quality,
            data_class=self.data_class,
            online=self.online,
            min_context_tokens=self.min_window,
            prompt=UNSET if self.prompt_id is None else PromptReference(self.prompt_id, "", self.variables),
        )

    def build_chat(
        self,
        messages: Sequence[Json],
        *,
        stream: bool = False,
        json_schema: Mapping[str, Json] | None = None,
    ) -> ChatRequest:
        """The chat request. `json_schema` constrains the answer. Raises BadRequest."""
        said: list[Json] = [{"role": "system", "content": self.system}] if self.system else []
        body: dict[str, Json] = {"model": self.model, "messages": [*said, *messages], "stream": stream}
        if not body["messages"]:
            if self.prompt_id is None:
                raise BadRequest("the prompt is missing", "set `prompt` or `messages`")
            body["sizewise"] = {"prompt": self.prompt_id}  # no other messages are needed
        if self.max_tokens is not None:
            body["max_tokens"] = self.max_tokens
        if self.temperature is not None:
            body["temperature"] = self.temperature
        if json_schema is not None:
            wanted = {"name": "answer", "schema": json_schema, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": wanted}
        return read_request(_encode(body))[0]


def build_messages(prompt: str | None, messages: Sequence[Json]) -> list[Json]:
    """The conversation so far, followed by the prompt."""
    return [*messages, *([{"role": "user", "content": prompt}] if prompt is not None else [])]
