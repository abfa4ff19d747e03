"""Runs an agent: a model with tools, in a loop with limits; what it says last is what the node gives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta
from msgspec.structs import replace

from sizewise.flows.language import types
from sizewise.flows.language.types import Json, Type
from sizewise.flows.node import Given, Job, Kind, Objection, missing


class Agent(Kind, frozen=True, kw_only=True):
    """Runs an agent on a task."""

    effect = True
    stepped = False  # each of its questions and calls is a step
    tightens = True

    task: Annotated[str, Meta(description="What it has to do.")]
    agent: Annotated[str, Meta(description="Its name.", extra_json_schema={"x-names": "agents"})] = ""
    model: Annotated[
        str, Meta(description="The model of an agent without a name.", extra_json_schema={"x-names": "models"})
    ] = "auto"
    system: Annotated[str, Meta(description="What such an agent should know.")] = ""
    tools: Annotated[list[str], Meta(description="The tools it has, by name or as beginnings with a *.")] = []
    max_steps: Annotated[
        Annotated[int, Meta(ge=1, le=1_000)] | None,
        Meta(description="The most questions to models; of an agent with a name no more than it has anyway."),
    ] = None

    @classmethod
    def gives(cls, given: Given) -> Type:
        return Type("object", fields={"text": types.TEXT, "steps": types.INTEGER, "ended": types.TEXT}, open=True)

    @classmethod
    def speaks(cls, given: Given) -> str:
        return "text"

    @classmethod
    def objections(cls, given: Given) -> Iterator[Objection]:
        if "agent" in given.typed and given.typed.keys() & {"system", "tools", "model"}:
            yield Objection("agent", "it says an agent's name and an agent", "Give its name, or all of it.")

    async def run(self, job: Job) -> Json:
        if job.means.agents is None:
            raise missing("agents", "update Sizewise, or take an ask node")
        spec: dict[str, Json] = {"name": self.agent} if self.agent else {
            "model": self.model, "system": self.system, "tools": self.tools,
        }  # fmt: skip
        if self.max_steps is not None:
            spec["max_steps"] = self.max_steps
        ask = replace(job.ask, wishes=replace(job.ask.wishes, max_cost=job.left()))
        run = job.means.agents.run
        return await run(ask, spec, self.task, job.send, key=job.key, steps=job.steps, place=job.place)
