"""Release of a run: the flows and the executor under which it begins, and under which it ends; knows no environment."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from sizewise.flows.executor import FlowStore
from sizewise.flows.run_worker import ExecuteFlow
from sizewise.flows.tables import FlowRun
from sizewise.principal import Principal


class RunRelease(Struct, frozen=True):
    """`release`: a hash; empty: what is published. `flows`: None: the published ones."""

    environment: str
    release: str = ""
    flows: FlowStore | None = None


class RunReleases(Protocol):
    async def release_of(self, principal: Principal) -> RunRelease | None:
        """For a run that begins. None: there are no environments. Raises SizewiseError."""
        ...

    async def release_of_run(self, run: FlowRun) -> RunRelease:
        """For a run that another one calls as a tool: `run` is that one, which has an environment."""
        ...

    async def executor_of(self, run: FlowRun) -> ExecuteFlow:
        """For a run that has a release. Raises SizewiseError."""
        ...
