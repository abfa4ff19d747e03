"""Runs the nodes it holds once for each item of a list: several at a time, in bounds, their results in order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from msgspec import Meta

from sizewise.errors import BadRequest, SizewiseError
from sizewise.flows.concurrency import beside
from sizewise.flows.language import types
from sizewise.flows.language.types import Json, Type
from sizewise.flows.node import Given, Job, Kind, Settled

MOST = 10_000
NAME = r"^[A-Za-z][A-Za-z0-9_]{0,62}$"


class Each(Kind, frozen=True, kw_only=True):
    """Runs its nodes once for each item of a list, several at a time."""

    stepped = False
    holds = True

    items: Annotated[list[Json], Meta(description=f"The list: up to {MOST} items.")]
    name: Annotated[Settled, Meta(pattern=NAME, description="What its nodes call the item.")] = "item"
    at_once: Annotated[int, Meta(ge=1, le=256, description="Items that are worked on side by side.")] = 8
    on_error: Annotated[
        Literal["fail", "skip"],
        Meta(description="`skip`: an item that fails gives nothing, and is told of in `errors`."),
    ] = "fail"

    @classmethod
    def gives(cls, given: Given) -> Type:
        wrong = types.record(index=types.INTEGER, error=types.TEXT, message=types.TEXT)
        return types.record(results=types.list_of(given.inner), errors=types.list_of(wrong))

    @classmethod
    def names(cls, given: Given) -> Mapping[str, Type]:
        listed = given.typed.get("items", types.JSON)
        item = types.INSIDE.get(listed.name, listed).of or types.JSON
        return {str(given.values.get("name", "item")): item, "index": types.INTEGER}

    async def run(self, job: Job) -> Json:
        if len(self.items) > MOST:
            raise BadRequest(f"there are {len(self.items)} items, and {MOST} at most", "Work on them in parts.")
        results: list[Json] = [None] * len(self.items)
        errors: list[Json] = []
        waiting = iter(enumerate(self.items))

        async def work() -> None:
            for index, item in waiting:
                try:
                    results[index] = await job.body(f"[{index}]", {self.name: item, "index": index})
                except SizewiseError as error:
                    if self.on_error == "fail":
                        raise
                    errors.append({"index": index, "error": error.code, "message": error.message})

        if self.at_once == 1:
            await work()
        else:
            async with beside() as group:
                for _ in range(min(self.at_once, len(self.items))):
                    group.create_task(work())
        return {"results": results, "errors": sorted(errors, key=lambda each: each["index"])}
