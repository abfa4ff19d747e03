"""Node that waits for a person's approval."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from sizewise.errors import BadRequest
from sizewise.flows.language import types
from sizewise.flows.language.types import Json, Type
from sizewise.flows.node import Node, NodeContext, ValidationContext
from sizewise.principal import APPROVER_PATTERN

YES, NO, LATE = "approved", "refused", "late"


class ApprovalDecision(Struct):
    """A person's decision, as received."""

    approved: bool
    note: str = ""
    by: str = ""
    value: Json = None


class ApproveNode(Node, frozen=True, kw_only=True):
    """Waits for a person's approval; the cases are approved, refused and late."""

    is_step = False
    has_side_effects = True

    question: Annotated[str, Meta(description="Question for the person.")]
    show: Annotated[Json, Meta(description="Data to show with it.")] = None
    approvers: Annotated[
        list[Annotated[str, Meta(pattern=APPROVER_PATTERN)]],
        Meta(
            description="Users, roles and keys that can decide, as `user:EMAIL`, `role:NAME` or `key:ID`; unset: all "
            "with the permission `approve`.",
            extra={"settled": True},
            extra_json_schema={"x-names": "approvers"},
            max_length=100,
        ),
    ] = []
    wait_s: Annotated[
        Annotated[float, Meta(gt=0, le=31_536_000)] | None,
        Meta(description="Seconds until it is late; unset: no limit."),
    ] = None

    @classmethod
    def output_type(cls, context: ValidationContext) -> Type:
        case = Type("text", enum=(YES, NO, LATE))
        return types.object_of(case=case, approved=types.BOOLEAN, note=types.TEXT, by=types.TEXT, value=types.JSON)

    @classmethod
    def case_names(cls, context: ValidationContext) -> tuple[str, ...]:
        return YES, NO, LATE

    async def run(self, context: NodeContext) -> Json:
        asked = msgspec.json.encode({"question": self.question, "show": self.show, "approvers": self.approvers})
        told = await context.steps.wait(context.path, asked, self.wait_s)
        if told is None:
            return {"case": LATE, "approved": False, "note": "", "by": "", "value": None}
        try:
            said = msgspec.json.decode(told, type=ApprovalDecision)
        except msgspec.DecodeError as error:
            raise BadRequest("the decision is not valid JSON", 'Send JSON, such as {"approved": true}.') from error
        case = YES if said.approved else NO
        return {"case": case, "approved": said.approved, "note": said.note, "by": said.by, "value": said.value}
