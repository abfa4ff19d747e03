"""Queries on runs: their states, steps, inputs, outputs and errors, as far as the caller may see them."""

from __future__ import annotations

from functools import partial

import msgspec
from msgspec import Struct

from sizewise.agents.step_results import AgentRun, agent_runs
from sizewise.data_class import DataClass, strictest
from sizewise.errors import BadRequest, Forbidden, PathNotFound
from sizewise.flows import tables
from sizewise.flows.active_runs import ActiveRuns
from sizewise.flows.run_access import can_see, is_owner
from sizewise.flows.step_store import StepStore, StoredError
from sizewise.flows.tables import CLASS, FAILURE, INPUTS, OUTPUTS, FlowRun, RunState, RunStep
from sizewise.handler import RequestOptions
from sizewise.principal import Principal
from sizewise.request_origin import RequestOrigin

MAX_PAGE_SIZE = 1_000
"""Runs of one page."""


class StoredRunRequest(Struct, frozen=True):
    """The request that started a run, stored encrypted. `inputs`: JSON of an object."""

    inputs: msgspec.Raw
    options: RequestOptions = RequestOptions()
    trace: str = ""
    origin: RequestOrigin | None = None


class _FoundData(Struct, frozen=True):
    """The part of a step's result that says how confidential it is."""

    data_class: DataClass | None = None


class RunQueries:
    """Read-only queries."""

    def __init__(self, store: StepStore, active: ActiveRuns) -> None:
        self._store = store
        self._active = active

    async def get(self, principal: Principal, id: str) -> FlowRun:
        """Raises PathNotFound if there is no such run, or the caller may not see it."""
        found = await self._store.read_in_thread(lambda c: tables.find_run(c, id))
        if found is None or not can_see(principal, found):
            raise PathNotFound(f"there is no run {id[:64]!r}", "list the runs: sizewise flow runs")
        return found

    async def list_runs(
        self,
        principal: Principal,
        *,
        flow: str = "",
        state: RunState | None = None,
        before: int = 0,
        limit: int = 20,
    ) -> list[tuple[int, FlowRun]]:
        """Newest first, each with the cursor (`before`) of the page that follows it."""
        if not 1 <= limit <= MAX_PAGE_SIZE:
            raise BadRequest(f"`limit` is {limit!r}", f"use 1 to {MAX_PAGE_SIZE}", param="limit")
        project = "" if principal.all_projects else principal.project
        only = principal.scope.flows if principal.scope is not None else ()
        return await self._store.read_in_thread(
            lambda c: tables.list_runs(c, principal.tenant, project, flow, state or "", before, limit, only),
        )

    async def list_steps(self, principal: Principal, id: str) -> list[RunStep]:
        """In the order in which they ended; steps that still run in this process come last."""
        run = await self.get(principal, id)
        stored = await self._store.read_in_thread(lambda c: tables.list_steps(c, run.id))
        ended = [step for step, _ in stored if step.key[0] != ":"]
        active = self._active.executing.get(id)
        return ended if active is None else [*ended, *active.steps.active.values()]

    async def get_value(self, principal: Principal, id: str, key: str = OUTPUTS) -> bytes | None:
        """The result of a step, or of the whole run, as JSON; None if there is none yet. Raises PathNotFound, and
        Forbidden if the caller neither owns the run nor may `read_contents`.
        """
        run = await self._get_readable(principal, id)
        found = await self._store.run_in_thread(partial(self._get_value, run, key))
        if found is not None and key == INPUTS:
            return bytes(msgspec.json.decode(found, type=StoredRunRequest).inputs)
        return found

    async def list_agents(self, principal: Principal, id: str) -> list[AgentRun]:
        """The agents of the run and their tool calls so far. Raises as `get_value`."""
        run = await self._get_readable(principal, id)
        stored = await self._store.run_in_thread(partial(self._store.load_steps, run))
        return agent_runs({key: value for key, (step, value) in stored.items() if step.state == "done"})

    async def _get_readable(self, principal: Principal, id: str) -> FlowRun:
        run = await self.get(principal, id)
        if not is_owner(principal, run) and "read_contents" not in principal.permissions:
            raise Forbidden(
                "the contents of this run belong to another user",
                "only its owner, or a user with the `read_contents` permission, can read them",
            )
        return run

    async def get_error(self, principal: Principal, id: str) -> StoredError | None:
        """Why the run failed; None if it did not."""
        found = await self.get_value(principal, id, FAILURE)
        return None if found is None else msgspec.json.decode(found, type=StoredError)

    async def get_data_limits(self, principal: Principal, id: str) -> RequestOptions:
        """The data class and `online` of a run: those of its request, tightened by what its steps found. The data
        class of the key that started it is not among them. Raises PathNotFound.
        """
        run = await self.get(principal, id)
        return await self._store.run_in_thread(partial(self._get_data_limits, run))

    def _get_data_limits(self, run: FlowRun) -> RequestOptions:
        values = {key: value for key, (_, value) in self._store.load_steps(run).items()}
        if INPUTS not in values:  # deleted
            return RequestOptions(data_class=strictest())
        options = msgspec.json.decode(values[INPUTS], type=StoredRunRequest).options
        known = [options.data_class, *(_found_data_class(key, value) for key, value in values.items())]
        classes = [each for each in known if each is not None]
        return RequestOptions(data_class=strictest(*classes) if classes else None, online=options.online)

    def _get_value(self, run: FlowRun, key: str) -> bytes | None:
        found = self._store.read(lambda c: tables.find_step(c, run.id, key))
        if found is None or found[0].state in ("running", "waiting") or found[0].error == tables.EXPIRED:
            return None  # a waiting step has its question, for those alone who can decide it
        return self._store.open_value(run.tenant, run.id, key, found[1])


def _found_data_class(key: str, value: bytes) -> DataClass | None:
    """That of a step's result, or of the whole run, which is stored if the run is done; None if there is none."""
    try:
        if key == CLASS:
            found: DataClass = msgspec.json.decode(value, type=DataClass)
            return found
        return None if key[0] == ":" else msgspec.json.decode(value, type=_FoundData).data_class
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # a result of another form
        return None
