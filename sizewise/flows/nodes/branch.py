"""Node that selects one case; nodes after `id.case` run only if that case was selected."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from sizewise.flows.language import types
from sizewise.flows.language.expression import is_truthy
from sizewise.flows.language.filters import to_text
from sizewise.flows.language.types import Json, Type
from sizewise.flows.node import Node, NodeContext, ParameterError, ValidationContext

DEFAULT_CASE = "else"
"""The case if no other case matches; always present."""


class BranchNode(Node, frozen=True, kw_only=True):
    """Selects one case; nodes after the other cases are skipped."""

    cases: Annotated[
        list[str] | dict[str, Json],
        Meta(description=
            "Names with a condition each, the first true one is selected; or, with `value`, the list of possible "
            "values."
        ),
    ]  # fmt: skip
    value: Annotated[Json, Meta(description="Value to compare with the names of the cases.")] = None

    @classmethod
    def output_type(cls, context: ValidationContext) -> Type:
        return types.object_of(case=Type("text", enum=cls.case_names(context)))

    @classmethod
    def case_names(cls, context: ValidationContext) -> tuple[str, ...]:
        said = context.values.get("cases")
        if said is None:
            said = context.types.get("cases", types.JSON).fields
        return (*map(str, said), DEFAULT_CASE)

    @classmethod
    def validate(cls, context: ValidationContext) -> Iterator[ParameterError]:
        said = context.values.get("cases")
        if isinstance(said, list) and "value" not in context.types:
            yield ParameterError(
                "cases", "the cases have no conditions", 'Add the value to compare: value: "{{ ... }}"'
            )
        if isinstance(said, list) and "value" in context.types:
            can = context.types["value"].enum
            for each in said if can else ():
                if each not in can:
                    yield ParameterError("cases", f"the value is never {each!r}", f"It can be: {', '.join(can)}.")

    async def run(self, context: NodeContext) -> Json:
        if isinstance(self.cases, list):
            found = to_text(self.value)
            return {"case": found if found in self.cases else DEFAULT_CASE}
        return {"case": next((name for name, holds in self.cases.items() if is_truthy(holds)), DEFAULT_CASE)}
