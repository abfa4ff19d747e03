"""Waits a while; a run that is kept waits on over restarts."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from sizewise.flows.language import types
from sizewise.flows.language.types import Json, Type
from sizewise.flows.node import Given, Job, Kind


class Wait(Kind, frozen=True, kw_only=True):
    """Waits a while before what comes after it."""

    stepped = False
    effect = True

    seconds: Annotated[float, Meta(ge=0, le=31_536_000, description="How long, in seconds: up to a year.")]

    @classmethod
    def gives(cls, given: Given) -> Type:
        return types.record(waited=types.NUMBER)

    async def run(self, job: Job) -> Json:
        await job.steps.sleep(job.place, self.seconds)
        return {"waited": self.seconds}
