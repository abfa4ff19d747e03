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
        self._has_begun = False

    def periodic_tasks(self) -> list[PeriodicTask]:
        refresh_s = self._get_settings().secrets.refresh_s
        return [PeriodicTask("secrets by command", refresh_s, self.refresh, at_once=True)]

    async def refresh(self) -> float:
        """The seconds until the next time. The first time, at the start, runs what has no answer alone. Raises
        ExternalFailure for commands that failed; the secrets before stay in use.
        """
        settings, begins = self._get_settings(), not self._has_begun
        self._has_begun = True
        failed = any(each.problem for each in find_commands(settings))
        changed = await asyncio.to_thread(fetch_commands, settings, only_new=begins)
        if changed and (failed or not begins):
            await self._rebuild()
        if problems := sorted({each.problem for each in find_commands(settings) if each.problem}):
            raise ExternalFailure("; ".join(problems), "the secrets before stay in use")
        return settings.secrets.refresh_s
