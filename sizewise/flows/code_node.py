"""Base class of nodes that run code in a sandbox; values are inputs and are never written into the code."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from sizewise.flows.language.types import JSON, Json, Type, from_json_schema
from sizewise.flows.node import Node, NodeContext, PlainText, ValidationContext, missing_dependency
from sizewise.tools.sandbox.protocol import Language


class CodeNode(Node, frozen=True, kw_only=True):
    """Runs code in a sandbox."""

    language: ClassVar[Language]

    code: Annotated[
        PlainText,
        Meta(
            max_length=100_000,
            description="Code. Its result is `output`, or else its last value; {{ }} is not evaluated in it.",
            extra_json_schema={"x-form": "code"},
        ),
    ]
    inputs: Annotated[dict[str, Json], Meta(description="Variables of the code, and their values.")] = {}
    schema: Annotated[
        dict[str, Json] | None,
        Meta(description="JSON Schema of the result, so that its fields are known."),
    ] = None
    time_s: Annotated[
        Annotated[float, Meta(gt=0, le=300)] | None,
        Meta(description="Timeout in seconds, at most the server's."),
    ] = None

    @classmethod
    def output_type(cls, context: ValidationContext) -> Type:
        schema = context.values.get("schema")
        return from_json_schema(schema) if schema else JSON

    async def run(self, context: NodeContext) -> Json:
        sandbox = context.dependencies.sandbox
        if sandbox is None:
            raise missing_dependency(f"sandbox for {self.language}", "enable it: [sandbox] in sizewise.toml")
        principal = context.request.principal
        return (await sandbox.run(self.language, self.code, self.inputs, principal.tenant, time_s=self.time_s)).data
