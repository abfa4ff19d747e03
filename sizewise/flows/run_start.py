"""Start of runs: stores a run before it begins, so that it survives a crash, and optionally waits for its outputs."""

from __future__ import annotations

import asyncio
import secrets
from functools import partial

import msgspec

from sizewise.data_class import DataClass
from sizewise.errors import BadRequest, Conflict, Forbidden, SizewiseError, WaitsForApproval
from sizewise.flows import tables
from sizewise.flows.active_runs import ActiveRuns
from sizewise.flows.engines.on_demand import OnDemandEngine
from sizewise.flows.executor import FlowStore
from sizewise.flows.run_access import RunPrincipals
from sizewise.flows.run_admission import RunAdmission
from sizewise.flows.run_completion import RunCompletion
from sizewise.flows.run_control import RunControl
from sizewise.flows.run_queries import RunQueries, StoredRunRequest
from sizewise.flows.run_release import RunRelease, RunReleases
from sizewise.flows.step_store import StepStore, StoredError, now_ms
from sizewise.flows.tables import CLASS, INPUTS, FlowRun, RunStep
from sizewise.flows.versions.published_flow import PublishedFlow
from sizewise.flows.versions.store import FlowVersions
from sizewise.handler import RequestOptions, Send, discard_events
from sizewise.principal import Principal
from sizewise.request_origin import RequestOrigin

MAX_INPUT_BYTES = 16_000_000
MAX_DEPTH = 16
"""Nesting of runs that call runs as tools."""
WAITING_ENDPOINTS = frozenset({"tool"})
"""Starts that wait for a person as long as it takes: calls by another run."""
TRIGGERED_ENDPOINTS = frozenset({"cron", "webhook"})
UNCOUNTED_ENDPOINTS = frozenset({"tool", "cron"})
"""Starts that do not count against the request rate: calls as a tool, and schedules."""


class RunStarter:
    """Each run belongs to the principal that starts it."""

    def __init__(
        self,
        *,
        store: StepStore,
        versions: FlowVersions,
        active: ActiveRuns,
        principals: RunPrincipals,
        admission: RunAdmission,
        queries: RunQueries,
        completion: RunCompletion,
        control: RunControl,
        engine: OnDemandEngine,
    ) -> None:
        self._store = store
        self._versions = versions
        self._active = active
        self._principals = principals
        self._admission = admission
        self._queries = queries
        self._completion = completion
        self._control = control
        self._engine = engine
        self.releases: RunReleases | None = None  # None: what is published runs

    def publisher(self, published: PublishedFlow) -> Principal:
        """The principal to pass to `start` if a trigger starts the flow. Raises InvalidApiKey."""
        return self._principals.publisher(published)

    async def start(
        self,
        principal: Principal,
        flow: str,
        inputs: bytes,
        *,
        version: str = "",
        endpoint: str = "graphql",
        options: RequestOptions = RequestOptions(),  # frozen
        trace: str = "",
        origin: RequestOrigin | None = None,
        send: Send = discard_events,
        id: str = "",
        parent_run: str = "",
    ) -> FlowRun:
        """Durable when this returns. `inputs`: JSON of an object. `id`: set it if the run must start at most once; a
        second call returns the existing run. `parent_run`: the run that calls this one as a tool.

        Raises Forbidden, PathNotFound, BadRequest, Busy, EncryptionKeyUnavailable, StorageError, and Conflict if `id`
        is a run of another flow.
        """
        if "ask" not in principal.permissions:
            raise Forbidden("this key does not have the `ask` permission", "use a key that has it")
        if principal.scope is not None and principal.scope.flows and flow not in principal.scope.flows:
            raise Forbidden(f"this key does not allow the flow {flow[:100]!r}", "use a key that allows it")
        if len(inputs) > MAX_INPUT_BYTES:
            raise BadRequest(f"the inputs are {len(inputs)} bytes long", f"send at most {MAX_INPUT_BYTES} bytes")
        self._admission.require_room(principal.tenant, parent_run)
        if endpoint not in UNCOUNTED_ENDPOINTS:
            await self._admission.count(principal)
        depth = self._active.depths.get(parent_run, 0) + 1 if parent_run else 0
        if depth > MAX_DEPTH:
            raise BadRequest(
                f"subflow calls are nested deeper than {MAX_DEPTH}", "Check whether a flow calls itself endlessly."
            )
        id = id or secrets.token_hex(16)
        self._admission.admit(id, principal.tenant)
        try:
            release = await self._release(principal, parent_run)
            run = FlowRun(
                id=id,
                tenant=principal.tenant,
                project=principal.project,
                flow=flow,
                version=await self._resolve(principal, flow, version, endpoint, release),
                door=endpoint,
                key=principal.key_id,
                user=principal.user_id,
                state="queued",
                created=now_ms(),
                environment=None if release is None else release.environment,
                release=None if release is None else release.release or None,
            )
            request = msgspec.json.encode(StoredRunRequest(msgspec.Raw(inputs), options, trace, origin))
            await self._engine.open()
            if await self._insert_if_new(run, request):
                return await self._start(run, send, depth, parent_run)
        except BaseException:
            self._admission.release(id)
            raise
        self._admission.release(id)
        existing = await self._queries.get(principal, id)
        if existing.flow != flow:
            raise Conflict(f"the run {id} belongs to another flow", "use a unique ID for each run")
        return existing

    async def _release(self, principal: Principal, parent_run: str) -> RunRelease | None:
        """That of the run which calls this one, else that of the caller's environment."""
        if self.releases is None:
            return None
        parent = self._active.executing.get(parent_run)
        if parent is not None and parent.run.environment is not None:
            return await self.releases.release_of_run(parent.run)
        return await self.releases.release_of(principal)

    async def _resolve(
        self, principal: Principal, flow: str, version: str, endpoint: str, release: RunRelease | None
    ) -> str:
        """The version that runs. A trigger names the published one, in place of which its environment has its own."""
        flows: FlowStore = self._versions
        if release is not None and release.flows is not None:
            flows, version = release.flows, "" if endpoint in TRIGGERED_ENDPOINTS else version
        return await flows.resolve_version(principal.tenant, principal.project, flow, version)

    async def run_to_completion(
        self,
        principal: Principal,
        flow: str,
        inputs: bytes,
        *,
        version: str = "",
        endpoint: str = "graphql",
        trace: str = "",
        send: Send = discard_events,
    ) -> bytes:
        """Starts a run and returns its outputs, JSON of an object. Cancelling this cancels the run. Raises what `start`
        raises, and the error that made the run fail.
        """
        outputs, _ = await self.run_with_data_class(
            principal,
            flow,
            inputs,
            version=version,
            endpoint=endpoint,
            trace=trace,
            send=send,
        )
        return outputs

    async def run_with_data_class(
        self,
        principal: Principal,
        flow: str,
        inputs: bytes,
        *,
        version: str = "",
        endpoint: str = "graphql",
        options: RequestOptions = RequestOptions(),  # frozen
        trace: str = "",
        origin: RequestOrigin | None = None,
        send: Send = discard_events,
        id: str = "",
        parent_run: str = "",
    ) -> tuple[bytes, DataClass | None]:
        """Like `run_to_completion`, and returns the data class of the outputs too; None if the run has none.

        Raises WaitsForApproval as soon as the run waits for a person, unless another run calls it. It goes on waiting.
        """
        run = await self.start(
            principal,
            flow,
            inputs,
            version=version,
            endpoint=endpoint,
            options=options,
            trace=trace,
            origin=origin,
            send=send,
            id=id,
            parent_run=parent_run,
        )
        try:
            if endpoint in WAITING_ENDPOINTS:
                run = await self._completion.wait_until_ended(principal, run.id)
            else:
                run, waiting = await self._completion.wait_until_ended_or_waiting(principal, run.id)
                if waiting:
                    raise _waits_for_person(run, waiting)
        except asyncio.CancelledError:
            if not self._is_called_again(parent_run):
                await asyncio.shield(self._control.stop(run))
            raise
        if run.state == "done":
            stored = await self._queries.get_value(principal, run.id, CLASS)
            data_class = None if stored is None else msgspec.json.decode(stored, type=DataClass)
            return await self._queries.get_value(principal, run.id) or b"{}", data_class
        why = await self._queries.get_error(principal, run.id)
        if why is None:
            raise Conflict(f"the run {run.id} was cancelled", "start the flow again, or resume the run")
        raise _restore_error(why)

    def _is_called_again(self, parent_run: str) -> bool:
        """Whether the server stops, and the run `parent_run`, which goes on at the next start, will call again."""
        return self._engine.is_closing and parent_run in self._active.executing

    async def _start(self, run: FlowRun, send: Send, depth: int, parent_run: str) -> FlowRun:
        self._active.sends[run.id] = send
        if depth:
            self._active.depths[run.id], self._active.parents[run.id] = depth, parent_run
        try:
            await self._engine.start(run.id, run.attempt)
        except BaseException:
            self._active.sends.pop(run.id, None)  # its depth stays: recovery starts the run later
            raise
        return run

    async def _insert_if_new(self, run: FlowRun, request: bytes) -> bool:
        """False if a run with this id exists; another server may have inserted it at the same time."""
        try:
            return await self._store.run_in_thread(partial(self._insert, run, request))
        except Conflict:
            return False

    def _insert(self, run: FlowRun, request: bytes) -> bool:
        inputs = RunStep(key=INPUTS, state="done", attempt=1, began=run.created, ended=run.created)
        written = self._store.seal_step(run.tenant, run.id, inputs, request)
        return self._store.write(lambda c: tables.insert_run(c, run, written))


def _waits_for_person(run: FlowRun, waiting: str) -> WaitsForApproval:
    where = "" if waiting == run.id else f", in its run {waiting}"
    hint = f"decide it (sizewise flow waiting), then read the outputs: sizewise flow status {run.id}"
    return WaitsForApproval(f"the run {run.id} waits for a person's approval{where}", hint)


def _restore_error(why: StoredError) -> SizewiseError:
    """Rebuilds the error from its code, with the same node."""
    waiting: list[type[SizewiseError]] = [SizewiseError]
    kind = SizewiseError
    while waiting:
        each = waiting.pop()
        if each.code == why.code:
            kind = each
            break
        waiting.extend(each.__subclasses__())
    error = kind(why.message, why.hint)
    error.flow_node = why.node
    return error
