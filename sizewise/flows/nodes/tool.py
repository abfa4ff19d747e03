"""Calls a tool: of this installation, of an MCP server, or another flow as one; its arguments are checked by it."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from sizewise.errors import Outside
from sizewise.flows.language import types
from sizewise.flows.language.types import Json, Type
from sizewise.flows.node import Given, Job, Kind, missing
from sizewise.tools.tool import Call


class Tool(Kind, frozen=True, kw_only=True):
    """Calls a tool."""

    effect = True
    tightens = True

    tool: Annotated[str, Meta(description="Its name.", extra_json_schema={"x-names": "tools"})]
    arguments: Annotated[dict[str, Json], Meta(description="What it is called with.")] = {}
    on_error: Annotated[
        Literal["fail", "give"],
        Meta(description="`give`: the tool's own no is a result too, with `failed`."),
    ] = "fail"

    @classmethod
    def gives(cls, given: Given) -> Type:
        return types.record(text=types.TEXT, data=types.JSON, failed=types.BOOLEAN, data_class=types.JSON)

    async def run(self, job: Job) -> Json:
        if job.means.tools is None:
            raise missing("tools", "declare an MCP server: [mcp.NAME] in sizewise.toml")
        (tool,) = await job.means.tools.chosen([self.tool], job.ask.caller)
        ask = job.ask
        call = Call(self.arguments, ask.caller, job.key, ask.trace, ask.wishes, job.data_class, job.limit)
        result = await tool.call(call)
        if result.failed and self.on_error == "fail":
            raise Outside(f"the tool {self.tool!r} says no: {result.text[:200]}", "Look at its arguments.", status=502)
        data = msgspec.json.decode(result.data) if result.data is not None else None
        return {"text": result.text, "data": data, "failed": result.failed, "data_class": result.data_class}
