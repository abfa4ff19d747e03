"""Run limits: steps and bytes of a run, and of all active runs of an organization; knows no node and no table.

Nothing is stored: a run that is resumed passes its finished steps again, and so counts them again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from sizewise.errors import Busy, RunLimitExceeded
from sizewise.flows.loop_turns import LoopTurns
from sizewise.settings.storage import FlowsSettings

RAISE_STEPS = "raise `max_active_steps_per_organization` in [flows]"
RAISE_BYTES = "raise `max_active_bytes_per_organization` in [flows]"


class StepUsage:
    """Steps, and bytes of outputs."""

    __slots__ = ("bytes", "steps")

    def __init__(self) -> None:
        self.steps = self.bytes = 0


class OrganizationUsage(StepUsage):
    """Of the active runs of an organization. `runs`: those that no other run called."""

    __slots__ = ("runs",)

    def __init__(self) -> None:
        super().__init__()
        self.runs = 0


class RunLimits:
    """The limits of `[flows]`, and what the active runs have used. A run that another calls as a tool counts into that
    one, as its subflows do.
    """

    def __init__(self, settings: FlowsSettings) -> None:
        self.settings = settings
        self._turns = LoopTurns()
        self._runs: dict[str, RunUsage] = {}
        self._organizations: dict[str, OrganizationUsage] = {}

    def require_room(self, tenant: str, parent_run: str = "") -> None:
        """Raises Busy, before a run starts, if the active runs of the organization leave nothing for another. A run
        that an active run calls as a tool goes on: it counts into that one.
        """
        used, limits = self._organizations.get(tenant), self.settings
        if used is None or parent_run in self._runs:
            return
        if used.steps >= limits.max_active_steps_per_organization:
            raise _busy(f"{limits.max_active_steps_per_organization:,} steps", RAISE_STEPS)
        if used.bytes >= limits.max_active_bytes_per_organization:
            raise _busy(f"{limits.max_active_bytes_per_organization:,} bytes", RAISE_BYTES)

    @contextmanager
    def counting(
        self, id: str, tenant: str, parent_run: str = "", is_catching_up: Callable[[], bool] = lambda: False
    ) -> Iterator[RunUsage]:
        """The usage of a run while it executes; what it used is given back at the end. `parent_run`: the run that calls
        this one as a tool. `is_catching_up`: see RunUsage.
        """
        usage = self._begin(id, tenant, parent_run, is_catching_up)
        try:
            yield usage
        finally:
            self._end(id, tenant, usage)

    @asynccontextmanager
    async def stopping_in_time(self) -> AsyncIterator[None]:
        """For a run in memory, whose waiting counts too. Raises RunLimitExceeded."""
        try:
            async with asyncio.timeout(self.settings.max_seconds_per_run) as deadline:
                yield
        except TimeoutError:
            if not deadline.expired():
                raise
            raise time_exceeded(self.settings) from None

    def _begin(self, id: str, tenant: str, parent_run: str, is_catching_up: Callable[[], bool]) -> RunUsage:
        root = self._runs.get(parent_run) if parent_run else None
        if root is None:
            organization = self._organizations.setdefault(tenant, OrganizationUsage())
            organization.runs += 1
            root = RunUsage(self.settings, organization, self._turns, is_catching_up)
        self._runs[id] = root
        root.members += 1
        return root

    def _end(self, id: str, tenant: str, usage: RunUsage) -> None:
        """Gives back nothing before the run that called this one has ended too."""
        if self._runs.get(id) is usage:
            del self._runs[id]
        usage.members -= 1
        if usage.members:
            return
        organization = self._organizations[tenant]
        organization.steps -= usage.steps
        organization.bytes -= usage.bytes
        organization.runs -= 1
        if not organization.runs:
            del self._organizations[tenant]


class RunUsage(StepUsage):
    """What a run has used, with the runs that it calls. `members`: runs that count into it and have not ended.

    The limits of the organization do not end a run while it `is_catching_up` with the steps that it had stored before a
    restart: runs that began meanwhile would end it.
    """

    __slots__ = ("_is_catching_up", "_settings", "members", "organization", "turn")

    def __init__(
        self,
        settings: FlowsSettings,
        organization: StepUsage,
        turns: LoopTurns,
        is_catching_up: Callable[[], bool] = lambda: False,
    ) -> None:
        super().__init__()
        self.turn = turns.turn
        self.organization = organization
        self.members = 0
        self._settings = settings
        self._is_catching_up = is_catching_up

    def count_steps(self, count: int = 1) -> None:
        """Raises RunLimitExceeded."""
        self.steps += count
        self.organization.steps += count
        self.require_steps(0)

    def require_steps(self, count: int) -> None:
        """Raises RunLimitExceeded if `count` more steps would exceed a limit."""
        limits = self._settings
        if self.steps + count > limits.max_steps_per_run:
            raise run_exceeds(f"has more than {limits.max_steps_per_run:,} steps", "max_steps_per_run")
        total = self.organization.steps + count
        if total > limits.max_active_steps_per_organization and not self._is_catching_up():
            raise _organization_exceeds(f"{limits.max_active_steps_per_organization:,} steps", RAISE_STEPS)

    def count_bytes(self, count: int) -> None:
        """Raises RunLimitExceeded."""
        self.bytes += count
        self.organization.bytes += count
        limits = self._settings
        if self.bytes > limits.max_bytes_per_run:
            raise run_exceeds(f"has outputs of more than {limits.max_bytes_per_run:,} bytes", "max_bytes_per_run")
        if self.organization.bytes > limits.max_active_bytes_per_organization and not self._is_catching_up():
            raise _organization_exceeds(f"{limits.max_active_bytes_per_organization:,} bytes", RAISE_BYTES)


def time_exceeded(settings: FlowsSettings) -> RunLimitExceeded:
    return run_exceeds(f"has worked for more than {settings.max_seconds_per_run:,g} seconds", "max_seconds_per_run")


def run_exceeds(what: str, setting: str) -> RunLimitExceeded:
    """`what`: as 'has more than 5 steps'."""
    return RunLimitExceeded(
        f"the run {what}, the maximum of a run with the flows that it calls",
        f"process the data in parts, each in its own run, or raise `{setting}` in [flows] of sizewise.toml",
    )


def _organization_exceeds(what: str, hint: str) -> RunLimitExceeded:
    """`what`: as '5 steps'."""
    message = f"the active runs of your organization have used {what}, the maximum per organization"
    return RunLimitExceeded(message, f"try again or resume it when others have ended, or {hint}")


def _busy(what: str, hint: str) -> Busy:
    message = f"the active runs of your organization have used {what}, the maximum per organization"
    return Busy(message, f"try again when some have ended, or {hint}", retry_after=5.0)


def unshared_usage() -> RunUsage:
    """Of a run with the default limits, whose organization has no other."""
    return RunUsage(FlowsSettings(), StepUsage(), LoopTurns())
