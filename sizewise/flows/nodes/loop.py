"""Runs the nodes it holds again and again, until something holds or the rounds end; each has what the last one gave."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta

from sizewise.flows.language import types
from sizewise.flows.language.expression import truth
from sizewise.flows.language.types import Json, Type
from sizewise.flows.node import Given, Job, Kind

MOST = 1_000


class Loop(Kind, frozen=True, kw_only=True):
    """Runs its nodes again and again; a round has what the last one gave as `loop`."""

    stepped = False
    holds = True
    late = frozenset({"until"})

    times: Annotated[int, Meta(ge=1, le=MOST, description="The most rounds.")]
    until: Annotated[Json, Meta(description="Looked at after each round: where it holds, that was the last.")] = None
    start: Annotated[dict[str, Json], Meta(description="What `loop` holds in the first round.")] = {}

    @classmethod
    def gives(cls, given: Given) -> Type:
        fields = given.inner.fields if given.inner.name == "object" else {}
        return types.record(**{**fields, "rounds": types.INTEGER, "held": types.BOOLEAN})

    @classmethod
    def names(cls, given: Given) -> Mapping[str, Type]:
        begins = given.typed.get("start")
        first = begins.fields if begins is not None else dict.fromkeys(given.values.get("start") or (), types.JSON)
        inner = given.inner.fields if given.inner.name == "object" else {}
        return {"loop": Type("object", fields={**inner, **first, "round": types.INTEGER}, open=not inner)}

    async def run(self, job: Job) -> Json:
        gave: dict[str, Json] = dict(self.start)
        for number in range(1, self.times + 1):
            outputs = await job.body(f"[{number}]", {"loop": {**gave, "round": number}})
            gave = {**gave, **outputs} if isinstance(outputs, dict) else {**gave, "last": outputs}
            held = truth(job.body.late("until", {"loop": {**gave, "round": number}}))
            if held:
                break
        return {**gave, "rounds": number, "held": held}
