"""Chooses one of several ways on: nodes after `id.case` run only where that case was chosen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from sizewise.flows.language import types
from sizewise.flows.language.expression import truth
from sizewise.flows.language.filters import shown
from sizewise.flows.language.types import Json, Type
from sizewise.flows.node import Given, Job, Kind, Objection

OTHER = "else"
"""The case of everything that no other case is for; it is always there."""


class Branch(Kind, frozen=True, kw_only=True):
    """Chooses one case; what comes after the others is skipped."""

    cases: Annotated[
        list[str] | dict[str, Json],
        Meta(description="Names with a condition each, of which the first that holds is chosen; or, with `value`, "
                         "the values that are cases."),
    ]  # fmt: skip
    value: Annotated[Json, Meta(description="What is compared with the names of the cases.")] = None

    @classmethod
    def gives(cls, given: Given) -> Type:
        return types.record(case=Type("text", one_of=cls.paths(given)))

    @classmethod
    def paths(cls, given: Given) -> tuple[str, ...]:
        said = given.values.get("cases")
        if said is None:
            said = given.typed.get("cases", types.JSON).fields
        return (*map(str, said), OTHER)

    @classmethod
    def objections(cls, given: Given) -> Iterator[Objection]:
        said = given.values.get("cases")
        if isinstance(said, list) and "value" not in given.typed:
            yield Objection("cases", "these cases have no conditions", 'Add what is compared: value: "{{ ... }}"')
        if isinstance(said, list) and "value" in given.typed:
            can = given.typed["value"].one_of
            for each in said if can else ():
                if each not in can:
                    yield Objection("cases", f"the value is never {each!r}", f"It can be: {', '.join(can)}.")

    async def run(self, job: Job) -> Json:
        if isinstance(self.cases, list):
            found = shown(self.value)
            return {"case": found if found in self.cases else OTHER}
        return {"case": next((name for name, holds in self.cases.items() if truth(holds)), OTHER)}
