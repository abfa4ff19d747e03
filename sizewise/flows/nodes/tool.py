"""Node that calls a tool: a local function, an MCP tool or another flow."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from sizewise.errors import ExternalFailure
from sizewise.flows.language import types
from sizewise.flows.language.types import Json, Type
from sizewise.flows.node import Node, NodeContext, ValidationContext, missing_dependency
from sizewise.tools.tool import ToolInvocation


class ToolNode(Node, frozen=True, kw_only=True):
    """Calls a tool."""

    has_side_effects = True
    sets_data_class = True

    tool: Annotated[str, Meta(description="Name of the tool.", extra_json_schema={"x-names": "tools"})]
    arguments: Annotated[dict[str, Json], Meta(description="Arguments.")] = {}
    on_error: Annotated[
        Literal["fail", "give"],
        Meta(description="`give`: an error of the tool is returned as a result, with `failed`."),
    ] = "fail"

    @classmethod
    def output_type(cls, context: ValidationContext) -> Type:
        return types.object_of(text=types.TEXT, data=types.JSON, failed=types.BOOLEAN, data_class=types.JSON)

    async def run(self, context: NodeContext) -> Json:
        if context.dependencies.tools is None:
            raise missing_dependency("tools", "declare an MCP server: [mcp.NAME] in sizewise.toml")
        (tool,) = await context.dependencies.tools.select([self.tool], context.request.principal)
        request = context.request
        call = ToolInvocation(
            arguments=self.arguments,
            principal=request.principal,
            idempotency_key=context.idempotency_key,
            trace=request.trace_id,
            options=request.options,
            data_class=context.data_class,
            limit=context.limit,
        )
        with context.dependencies.spans.open("execute_tool", tool.name, request, kind=tool.source) as span:
            result = await tool.call(replace(call, origin=span.origin))
            span.end_tool(result.text, result.failed)
        if result.failed and self.on_error == "fail":
            raise ExternalFailure(
                f"the tool {self.tool!r} returned an error: {result.text[:200]}",
                "Check the arguments.",
                status=502,
            )
        data = msgspec.json.decode(result.data) if result.data is not None else None
        return {"text": result.text, "data": data, "failed": result.failed, "data_class": result.data_class}
