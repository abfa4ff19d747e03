"""Runs another flow within this one: its steps are steps of this run, its version stays what it was at the first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from sizewise.flows.language import types
from sizewise.flows.language.diagnostics import known
from sizewise.flows.language.types import Json, Type
from sizewise.flows.node import Given, Job, Kind, Objection, Settled, missing


class Subflow(Kind, frozen=True, kw_only=True):
    """Runs another flow, and gives what that gives."""

    stepped = False
    effect = True  # it may hold nodes that act

    flow: Annotated[Settled, Meta(description="Its name, or NAME@VERSION.", extra_json_schema={"x-names": "flows"})]
    inputs: Annotated[dict[str, Json], Meta(description="What it takes.")] = {}

    @classmethod
    def gives(cls, given: Given) -> Type:
        other = given.flow(str(given.values.get("flow", "")))
        return types.JSON if other is None else Type("object", fields=other.outputs)

    @classmethod
    def speaks(cls, given: Given) -> str:
        other = given.flow(str(given.values.get("flow", "")))
        return "" if other is None else other.speaks

    @classmethod
    def objections(cls, given: Given) -> Iterator[Objection]:
        name = str(given.values.get("flow", ""))
        other = given.flow(name)
        if other is None:
            yield Objection("flow", f"there is no flow {name[:60]!r}", "See: sizewise flow list")
            return
        inputs = given.typed.get("inputs", Type("object")).fields
        for each in inputs:
            if each not in other.inputs:
                yield Objection("inputs", f"the flow {name!r} has no input {each[:60]!r}", known(each, other.inputs))
            elif not types.accepts(other.inputs[each], inputs[each]):
                wanted = types.article(other.inputs[each])
                yield Objection(
                    "inputs", f"its input {each!r} takes {wanted}, and this is {types.article(inputs[each])}"
                )
        for each in other.required - set(inputs):
            yield Objection("inputs", f"its input {each!r} is missing", f"Add it: inputs: {{{each}: ...}}")

    async def run(self, job: Job) -> Json:
        library = job.means.library
        if library is None:
            raise missing("other flows", "Put them into the folder flows/ beside sizewise.toml.")

        async def pinned() -> bytes:
            return (await library.version(job.ask, self.flow)).encode()

        version = (await job.steps.step(f"{job.place}@", pinned)).decode()
        flow = await library.flow(job.ask, self.flow.partition("@")[0], version)
        return await job.body.flow(flow, self.inputs, job.send)
