"""What nodes that run code have in common: it runs in a sandbox and never here, and nothing is written into it."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from sizewise.flows.language.types import JSON, Json, Type, of_schema
from sizewise.flows.node import Given, Job, Kind, Plain, missing
from sizewise.tools.sandbox.protocol import Language


class Code(Kind, frozen=True, kw_only=True):
    """Runs code in a sandbox."""

    language: ClassVar[Language]

    code: Annotated[
        Plain,
        Meta(
            max_length=100_000,
            description="The code. It gives its `output`, or else its last value; {{ }} means nothing in it.",
            extra_json_schema={"x-form": "code"},
        ),
    ]
    inputs: Annotated[dict[str, Json], Meta(description="Names in the code, and their values.")] = {}
    schema: Annotated[
        dict[str, Json] | None, Meta(description="The JSON Schema of what it gives, so that its fields are known.")
    ] = None
    time_s: Annotated[
        Annotated[float, Meta(gt=0, le=300)] | None, Meta(description="Seconds, where the server's limit is longer.")
    ] = None

    @classmethod
    def gives(cls, given: Given) -> Type:
        schema = given.values.get("schema")
        return of_schema(schema) if schema else JSON

    async def run(self, job: Job) -> Json:
        sandbox = job.means.sandbox
        if sandbox is None:
            raise missing(f"sandbox for {self.language}", "turn it on: [sandbox] in sizewise.toml")
        caller = job.ask.caller
        return (await sandbox.run(self.language, self.code, self.inputs, caller.tenant, time_s=self.time_s)).data
