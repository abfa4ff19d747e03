"""Admission of runs: the request rate, the places in this process, and an equal share of them per organization."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from sizewise.auth.authenticator import Authenticator
from sizewise.errors import Busy
from sizewise.flows.active_runs import ActiveRuns
from sizewise.flows.run_limits import RunLimits
from sizewise.principal import Principal

CountRequest = Callable[[Principal], Awaitable[None] | None]
"""Counts a request (the limiter's `count_request`): None, or what must be awaited. Raises Busy."""


class RunAdmission:
    """A run keeps its place until it ends, except while it waits for a person."""

    def __init__(
        self,
        *,
        active: ActiveRuns,
        authenticator: Authenticator,
        count_request: CountRequest,
        limits: RunLimits,
    ) -> None:
        self._active = active
        self._authenticator = authenticator
        self._count_request = count_request
        self._limits = limits
        self._max_running = limits.settings.max_concurrent_runs
        self._max_running_per_organization = limits.settings.max_concurrent_runs_per_organization

    async def count(self, principal: Principal) -> None:
        """Counts the run as one request, however it ends; its model calls count as none. Raises Busy, StorageError."""
        waits = self._count_request(principal)
        if waits is not None:
            await waits

    def require_room(self, tenant: str, parent_run: str = "") -> None:
        """Raises Busy if the active runs of the organization have used all its steps or bytes: see RunLimits."""
        self._limits.require_room(tenant, parent_run)

    def admit(self, id: str, tenant: str) -> None:
        """Reserves a place. Raises Busy."""
        executing, admitted = self._active.executing.values(), self._active.admitted
        most, each = self._max_running, self._max_running_per_organization or self._max_running
        if self._max_running_per_organization is None and self._authenticator.organization_count > 1:
            each = (most + 1) // 2
        if len(admitted) + len(executing) >= min(most, each):
            waits = [one.run.tenant for one in executing if one.steps.is_waiting].count(tenant)
            if waits >= most:
                raise Busy(
                    f"{waits} runs of your organization are waiting for approval",
                    "approve, deny or cancel some of them",
                    retry_after=60.0,
                )
            held = [*admitted.values(), *(one.run.tenant for one in executing if not one.steps.is_waiting)]
            if len(held) >= most:
                raise Busy(f"{most} runs are active, the maximum of this server", "try again later", retry_after=5.0)
            if held.count(tenant) >= each:
                words = f"{each} runs of your organization are active, the maximum per organization"
                raise Busy(words, "try again later", retry_after=5.0)
        admitted[id] = tenant

    def release(self, id: str) -> None:
        """Frees a place that the run has not begun to use."""
        self._active.admitted.pop(id, None)
