"""Node that runs an agent: a model with tools, in a loop with limits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta
from msgspec.structs import replace

from sizewise.flows.language import types
from sizewise.flows.language.types import Json, Type
from sizewise.flows.node import Node, NodeContext, ParameterError, ValidationContext, missing_dependency


class AgentNode(Node, frozen=True, kw_only=True):
    """Runs an agent on a task."""

    has_side_effects = True
    is_step = False  # each model call and tool call is a step
    sets_data_class = True

    task: Annotated[str, Meta(description="Task of the agent.")]
    agent: Annotated[
        str, Meta(description="Name of an agent in the settings.", extra_json_schema={"x-names": "agents"})
    ] = ""
    model: Annotated[
        str,
        Meta(description="Model of an agent without a name.", extra_json_schema={"x-names": "models"}),
    ] = "auto"
    system: Annotated[str, Meta(description="System prompt of an agent without a name.")] = ""
    tools: Annotated[list[str], Meta(description="Tools, by name or as a prefix with a *.")] = []
    max_steps: Annotated[
        Annotated[int, Meta(ge=1, le=1_000)] | None,
        Meta(description="Maximum model calls; for a named agent at most its own limit."),
    ] = None

    @classmethod
    def output_type(cls, context: ValidationContext) -> Type:
        return types.object_of(
            text=types.TEXT,
            stop_reason=types.TEXT,
            steps=types.INTEGER,
            calls=types.list_of(types.object_of(agent=types.TEXT, tool=types.TEXT, failed=types.BOOLEAN)),
            agent=types.TEXT,
            cost=types.INTEGER,
            data_class=types.TEXT,
        )

    @classmethod
    def streaming_field(cls, context: ValidationContext) -> str:
        return "text"

    @classmethod
    def validate(cls, context: ValidationContext) -> Iterator[ParameterError]:
        if "agent" in context.types and context.types.keys() & {"system", "tools", "model"}:
            yield ParameterError(
                "agent",
                "both a named agent and settings of an unnamed agent are set",
                "Set either `agent`, or the settings of an agent without a name.",
            )

    async def run(self, context: NodeContext) -> Json:
        if context.dependencies.agents is None:
            raise missing_dependency("agents", "update Sizewise, or use an ask node")
        spec: dict[str, Json] = {"name": self.agent} if self.agent else {
            "model": self.model, "system": self.system, "tools": self.tools,
        }  # fmt: skip
        if self.max_steps is not None:
            spec["max_steps"] = self.max_steps
        request = replace(context.request, options=replace(context.request.options, max_cost=context.remaining_cost()))
        run = context.dependencies.agents.run
        return await run(
            request,
            spec,
            self.task,
            context.send,
            key=context.idempotency_key,
            steps=context.steps,
            path=context.path,
        )
