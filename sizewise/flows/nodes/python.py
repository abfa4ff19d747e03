"""Node that runs Python in the sandbox."""

from __future__ import annotations

from typing import ClassVar

from sizewise.flows.code_node import CodeNode
from sizewise.tools.sandbox.protocol import Language


class PythonNode(CodeNode, frozen=True, kw_only=True):
    """Runs Python in a sandbox."""

    language: ClassVar[Language] = "python"
