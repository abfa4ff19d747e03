"""Runs JavaScript in a sandbox; a kind of node."""

from __future__ import annotations

from typing import ClassVar

from sizewise.flows.code_node import Code
from sizewise.tools.sandbox.protocol import Language


class JavaScript(Code, frozen=True, kw_only=True):
    """Runs JavaScript in a sandbox."""

    language: ClassVar[Language] = "javascript"
