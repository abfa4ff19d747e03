"""Puts values into a text; asks nobody."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from sizewise.flows.language import types
from sizewise.flows.language.types import Json, Type
from sizewise.flows.node import Given, Job, Kind


class Template(Kind, frozen=True, kw_only=True):
    """Puts values into a text, or several into one value."""

    text: Annotated[str | None, Meta(description="The text, with {{ }} where values go.")] = None
    value: Annotated[Json, Meta(description="In its place: any value, also an object or a list of several.")] = None

    @classmethod
    def gives(cls, given: Given) -> Type:
        return types.record(text=types.TEXT, value=given.typed.get("value", types.JSON))

    async def run(self, job: Job) -> Json:
        return {"text": self.text or "", "value": self.value}
