"""Registry of the runs in this process: admitted, executing, and where their events are sent. Makes no decision."""

from __future__ import annotations

import asyncio

from sizewise.errors import SizewiseError
from sizewise.flows.step_store import DurableSteps
from sizewise.flows.tables import FlowRun
from sizewise.handler import Send


class ActiveRun:
    """A run that executes in this process."""

    def __init__(self, run: FlowRun, steps: DurableSteps, task: asyncio.Task[None]) -> None:
        self.run = run
        self.steps = steps
        self.task = task
        self.stopped_by: SizewiseError | None = None

    def stop(self, error: SizewiseError) -> None:
        """Ends the run as failed with `error`."""
        self.stopped_by = error
        self.task.cancel()


class ActiveRuns:
    """Five maps by run id. `forget` a run when it ends."""

    def __init__(self) -> None:
        self.executing: dict[str, ActiveRun] = {}
        self.admitted: dict[str, str] = {}
        """Runs with a reserved place that do not execute yet -> their organization."""
        self.sends: dict[str, Send] = {}
        self.depths: dict[str, int] = {}
        """Nesting depth of runs that other runs call as tools."""
        self.parents: dict[str, str] = {}
        """Runs that other runs call as tools -> the run that calls."""

    @property
    def runs(self) -> list[FlowRun]:
        """The runs that execute in this process."""
        return [each.run for each in self.executing.values()]

    def ancestors(self, id: str) -> list[str]:
        """The run that called this one as a tool, the run that called that, and so on."""
        found: list[str] = []
        while (id := self.parents.get(id, "")) and id not in found:
            found.append(id)
        return found

    def forget(self, id: str) -> None:
        """Removes the run from all maps but `executing`, which its task leaves when it ends."""
        self.sends.pop(id, None)
        self.depths.pop(id, None)
        self.parents.pop(id, None)
        self.admitted.pop(id, None)
