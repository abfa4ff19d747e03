"""Tools that run Python or JavaScript in the sandbox, for agents that calculate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Protocol

from msgspec import Meta

from sizewise.errors import SizewiseError
from sizewise.tools.function_tool import function_tool
from sizewise.tools.sandbox.process_pool import CodeResult
from sizewise.tools.sandbox.protocol import MAX_CODE_BYTES, Language
from sizewise.tools.tool import Tool, ToolInvocation, ToolOutput, error_text

CodeArgument = Annotated[
    str,
    Meta(min_length=1, max_length=MAX_CODE_BYTES, description="It prints, or ends with the value that is wanted."),
]


class CodeRunner(Protocol):
    async def run(
        self,
        language: Language,
        code: str,
        inputs: Mapping[str, object],
        tenant: str,
        *,
        time_s: float | None = None,
    ) -> CodeResult: ...


CODE_TOOLS = ("run_python", "run_javascript")


def code_tools(sandbox: CodeRunner) -> list[Tool]:
    """`run_python` and `run_javascript`."""

    async def run(language: Language, text: str, call: ToolInvocation) -> ToolOutput:
        try:
            ran = await sandbox.run(language, text, {}, call.principal.tenant)
        except SizewiseError as error:
            return ToolOutput(error_text(error), failed=True)
        value = bytes(ran.value).decode("utf-8", "replace")
        return ToolOutput("\n".join(filter(None, (ran.stdout.rstrip(), "" if value == "null" else value))))

    async def run_python(code: CodeArgument, call: ToolInvocation) -> ToolOutput:
        """Runs Python: the language and a few modules such as math, re, json and datetime; no files, no network."""
        return await run("python", code, call)

    async def run_javascript(code: CodeArgument, call: ToolInvocation) -> ToolOutput:
        """Runs JavaScript: the language alone; no files, no network."""
        return await run("javascript", code, call)

    return [function_tool(run_python), function_tool(run_javascript)]
