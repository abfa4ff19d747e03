"""Asks secret managers again from time to time (`exec:` references), and uses a changed secret without a restart."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from sizewise.errors import ExternalFailure
from sizewise.jobs.periodic_tasks import PeriodicTask
from sizewise.settings.load import Settings
from sizewise.settings.secret_commands import fetch_commands, find_commands


class SecretRotation:
    """One per process."""

    def __init__(self, get_settings: Callable[[], Settings], rebuild: Callable[[], Awaitable[None]]) -> None:
        """`rebuild`: the application with the settings as they are."""
        self._get_settings = get_settings
        self._rebuild = rebuild

    def periodic_tasks(self) -> list[PeriodicTask]:
        return [PeriodicTask("secrets by command", self._get_settings().secrets.refresh_s, self.refresh)]

    async def refresh(self) -> float:
        """The seconds until the next time. Raises ExternalFailure for commands that failed; the secrets before stay in
        use.
        """
        settings = self._get_settings()
        if await asyncio.to_thread(fetch_commands, settings):
            await self._rebuild()
        if problems := sorted({each.problem for each in find_commands(settings) if each.problem}):
            raise ExternalFailure("; ".join(problems), "the secrets before stay in use")
        return settings.secrets.refresh_s
