"""Prompt reference: the prompt that a request names by id, with the values of its variables; finds no prompt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct


class PromptReference(Struct, frozen=True):
    """`version`: the content hash or its first digits; empty: the live one. `variables`: values by name; None: the text
    is in the messages, and `version` is whole.
    """

    id: str
    version: str = ""
    variables: Mapping[str, Any] | None = None
