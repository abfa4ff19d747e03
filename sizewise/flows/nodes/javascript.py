"""Node that runs JavaScript in the sandbox."""

from __future__ import annotations

from typing import ClassVar

from sizewise.flows.code_node import CodeNode
from sizewise.tools.sandbox.protocol import Language


class JavaScriptNode(CodeNode, frozen=True, kw_only=True):
    """Runs JavaScript in a sandbox."""

    language: ClassVar[Language] = "javascript"
