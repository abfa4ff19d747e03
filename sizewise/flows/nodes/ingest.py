"""Takes documents into a knowledge base; those that it has already, unchanged, cost nothing."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from sizewise.flows import types
from sizewise.flows.node import Given, Job, Kind, missing
from sizewise.flows.types import Json, Type


class Ingest(Kind, frozen=True, kw_only=True):
    """Takes documents into a knowledge base."""

    effect = True

    knowledge: Annotated[str, Meta(description="The base.", extra_json_schema={"x-names": "knowledge"})]
    documents: Annotated[
        list[dict[str, Json]],
        Meta(max_length=10_000, description="Each with its `name`, and its `text`, or `data` with a `media_type`."),
    ]

    @classmethod
    def gives(cls, given: Given) -> Type:
        counts = dict.fromkeys(("added", "changed", "same", "passages"), types.INTEGER)
        return Type("object", fields=counts, open=True)

    async def run(self, job: Job) -> Json:
        knowledge = job.means.knowledge
        if knowledge is None:
            raise missing("knowledge", "install the extra: pip install 'sizewise[knowledge]'")
        return await knowledge.ingest(job.ask, self.knowledge, self.documents, key=job.key)
