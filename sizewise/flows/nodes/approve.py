"""Waits for a person who says yes or no, and perhaps a word; how they are asked is the server's matter."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from sizewise.errors import BadRequest
from sizewise.flows.language import types
from sizewise.flows.language.types import Json, Type
from sizewise.flows.node import Given, Job, Kind

YES, NO, LATE = "approved", "refused", "late"


class Decided(Struct):
    """What somebody decided, as it comes in."""

    approved: bool
    note: str = ""
    by: str = ""
    value: Json = None


class Approve(Kind, frozen=True, kw_only=True):
    """Waits until a person says yes or no; its cases are approved, refused and late."""

    stepped = False
    effect = True

    question: Annotated[str, Meta(description="What the person is asked.")]
    show: Annotated[Json, Meta(description="What the person is shown with it.")] = None
    wait_s: Annotated[
        Annotated[float, Meta(gt=0, le=31_536_000)] | None,
        Meta(description="Seconds until it is too late; without it there is no end."),
    ] = None

    @classmethod
    def gives(cls, given: Given) -> Type:
        case = Type("text", one_of=(YES, NO, LATE))
        return types.record(case=case, approved=types.BOOLEAN, note=types.TEXT, by=types.TEXT, value=types.JSON)

    @classmethod
    def paths(cls, given: Given) -> tuple[str, ...]:
        return YES, NO, LATE

    async def run(self, job: Job) -> Json:
        asked = msgspec.json.encode({"question": self.question, "show": self.show})
        told = await job.steps.wait(job.place, asked, self.wait_s)
        if told is None:
            return {"case": LATE, "approved": False, "note": "", "by": "", "value": None}
        try:
            said = msgspec.json.decode(told, type=Decided)
        except msgspec.DecodeError as error:
            raise BadRequest("the decision cannot be read", 'It is JSON, as {"approved": true}.') from error
        case = YES if said.approved else NO
        return {"case": case, "approved": said.approved, "note": said.note, "by": said.by, "value": said.value}
