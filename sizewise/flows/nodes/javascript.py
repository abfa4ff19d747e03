"""Runs JavaScript in a sandbox; a kind of node."""

from __future__ import annotations

from typing import ClassVar

from sizewise.flows.code import Code
from sizewise.tools.sandbox_line import Language


class JavaScript(Code, frozen=True, kw_only=True):
    """Runs JavaScript in a sandbox."""

    language: ClassVar[Language] = "javascript"
