"""Node that runs another flow as part of this run, pinned to the version of its first step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from sizewise.flows.language import types
from sizewise.flows.language.diagnostics import did_you_mean
from sizewise.flows.language.flow_spec import MIN_VERSION_DIGITS
from sizewise.flows.language.types import Json, Type
from sizewise.flows.node import Node, NodeContext, ParameterError, StaticText, ValidationContext, missing_dependency


class SubflowNode(Node, frozen=True, kw_only=True):
    """Runs another flow, and outputs its outputs."""

    is_step = False
    has_side_effects = True  # its nodes may have side effects

    flow: Annotated[
        StaticText, Meta(description="Name of the flow, or NAME@VERSION.", extra_json_schema={"x-names": "flows"})
    ]
    inputs: Annotated[dict[str, Json], Meta(description="Inputs of the flow.")] = {}

    @classmethod
    def output_type(cls, context: ValidationContext) -> Type:
        other = context.signature_of(str(context.values.get("flow", "")))
        return types.JSON if other is None else Type("object", fields=other.outputs)

    @classmethod
    def streaming_field(cls, context: ValidationContext) -> str:
        other = context.signature_of(str(context.values.get("flow", "")))
        return "" if other is None else other.text_output

    @classmethod
    def validate(cls, context: ValidationContext) -> Iterator[ParameterError]:
        name = str(context.values.get("flow", ""))
        _, pinned, version = name.partition("@")
        if pinned and len(version) < MIN_VERSION_DIGITS:
            hint = f"Use at least {MIN_VERSION_DIGITS} digits. Run: sizewise flow versions NAME"
            yield ParameterError("flow", f"{version[:60]!r} is too short for a version", hint)
            return
        other = context.signature_of(name)
        if other is None:
            yield ParameterError("flow", f"there is no flow {name[:60]!r}", "Run: sizewise flow list")
            return
        inputs = context.types.get("inputs", Type("object")).fields
        for each in inputs:
            if each not in other.inputs:
                yield ParameterError(
                    "inputs",
                    f"the flow {name!r} has no input {each[:60]!r}",
                    did_you_mean(each, [name for name in other.inputs if name not in inputs]),
                )
            elif not types.is_assignable(other.inputs[each], inputs[each]):
                wanted = types.with_article(other.inputs[each])
                yield ParameterError(
                    "inputs",
                    f"the input {each!r} expects {wanted}, not {types.with_article(inputs[each])}",
                )
        for each in other.required - set(inputs):
            yield ParameterError("inputs", f"the input {each!r} is missing", f"Add it: inputs: {{{each}: ...}}")

    async def run(self, context: NodeContext) -> Json:
        library = context.dependencies.flows
        if library is None:
            raise missing_dependency("other flows", "Put flows in the folder flows/ next to sizewise.toml.")

        async def pinned() -> bytes:
            return (await library.resolve_version(context.request, self.flow)).encode()

        version = (await context.steps.step(f"{context.path}@", pinned)).decode()
        flow = await library.load_flow(context.request, self.flow.partition("@")[0], version)
        return await context.body.run_flow(flow, self.inputs, context.send)
