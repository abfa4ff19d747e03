"""Node that runs its body for each item of a list, with bounded concurrency and results in order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from msgspec import Meta

from sizewise.errors import BadRequest, RunLimitExceeded, SizewiseError
from sizewise.flows.concurrency import task_group
from sizewise.flows.language import types
from sizewise.flows.language.types import Json, Type
from sizewise.flows.node import Node, NodeContext, StaticText, ValidationContext

MAX_ITEMS = 10_000
ITEM_NAME = r"^[A-Za-z][A-Za-z0-9_]{0,62}$"


class EachNode(Node, frozen=True, kw_only=True):
    """Runs its nodes once for each item of a list, several at a time."""

    is_step = False
    has_body = True

    items: Annotated[list[Json], Meta(description=f"The list: up to {MAX_ITEMS} items.")]
    name: Annotated[StaticText, Meta(pattern=ITEM_NAME, description="Name of the item in its nodes.")] = "item"
    at_once: Annotated[int, Meta(ge=1, le=256, description="Maximum concurrent items.")] = 8
    on_error: Annotated[
        Literal["fail", "skip"],
        Meta(description="`skip`: an item that fails has no result, and is listed in `errors`."),
    ] = "fail"

    @classmethod
    def output_type(cls, context: ValidationContext) -> Type:
        wrong = types.object_of(index=types.INTEGER, error=types.TEXT, message=types.TEXT)
        return types.object_of(results=types.list_of(context.body_type), errors=types.list_of(wrong))

    @classmethod
    def body_scope(cls, context: ValidationContext) -> Mapping[str, Type]:
        listed = context.types.get("items", types.JSON)
        item = types.MEMBER_TYPES.get(listed.name, listed).item_type or types.JSON
        return {str(context.values.get("name", "item")): item, "index": types.INTEGER}

    async def run(self, context: NodeContext) -> Json:
        if len(self.items) > MAX_ITEMS:
            raise BadRequest(
                f"there are {len(self.items)} items; the maximum is {MAX_ITEMS}", "Process them in batches."
            )
        context.body.require_rounds(len(self.items))
        results: list[Json] = [None] * len(self.items)
        errors: list[Json] = []
        waiting = iter(enumerate(self.items))

        async def work() -> None:
            for index, item in waiting:
                try:
                    results[index] = await context.body(f"[{index}]", {self.name: item, "index": index})
                except SizewiseError as error:
                    if self.on_error == "fail" or isinstance(error, RunLimitExceeded):
                        raise
                    errors.append({"index": index, "error": error.code, "message": error.message})

        if self.at_once == 1:
            await work()
        else:
            async with task_group() as group:
                for _ in range(min(self.at_once, len(self.items))):
                    group.create_task(work())
        return {"results": results, "errors": sorted(errors, key=lambda each: each["index"])}
