"""Running code as a tool, for agents that calculate: in the sandbox, as code of flows is; knows no interpreter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Protocol

from msgspec import Meta

from sizewise.errors import SizewiseError
from sizewise.tools.function_tool import function
from sizewise.tools.sandbox.process_pool import Ran
from sizewise.tools.sandbox.protocol import CODE, Language
from sizewise.tools.tool import Call, Result, Tool, said

Code = Annotated[
    str, Meta(min_length=1, max_length=CODE, description="It prints, or ends with the value that is wanted.")
]


class Sandbox(Protocol):
    async def run(
        self, language: Language, code: str, inputs: Mapping[str, object], tenant: str, *, time_s: float | None = None
    ) -> Ran: ...


def code(sandbox: Sandbox) -> list[Tool]:
    """`run_python` and `run_javascript`."""

    async def run(language: Language, text: str, call: Call) -> Result:
        try:
            ran = await sandbox.run(language, text, {}, call.caller.tenant)
        except SizewiseError as error:
            return Result(said(error), failed=True)
        value = bytes(ran.value).decode("utf-8", "replace")
        return Result("\n".join(filter(None, (ran.printed.rstrip(), "" if value == "null" else value))))

    async def run_python(code: Code, call: Call) -> Result:
        """Runs Python: the language and a few modules such as math, re, json and datetime; no files, no network."""
        return await run("python", code, call)

    async def run_javascript(code: Code, call: Call) -> Result:
        """Runs JavaScript: the language alone; no files, no network."""
        return await run("javascript", code, call)

    return [function(run_python), function(run_javascript)]
