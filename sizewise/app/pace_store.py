"""Keeps measured paces over a restart: loads them, and those of self-tests, at the start, and writes what changed."""

from __future__ import annotations

import contextlib
import logging
import platform
import time
from collections.abc import Mapping

import msgspec

from sizewise.catalog.self_tests import SelfTest
from sizewise.errors import Conflict, StorageError
from sizewise.jobs.periodic_tasks import PeriodicTask
from sizewise.routing.pace import ModelPaces
from sizewise.routing.pace_figures import LoadPace, PaceFigures
from sizewise.storage.database import AsyncTransactionRunner, TransactionRunner
from sizewise.telemetry import pace_tables

log = logging.getLogger("sizewise.app.pace_store")

INTERVAL_S = 60.0
RETENTION_MS = 30 * 86_400_000
"""An older pace says little of today, and its model or machine may be gone."""
TESTED_PROMPT, TESTED_OUTPUT = 180.0, 32.0
"""Tokens of the prompt of a self-test, and of its answer."""


class PaceStore:
    """`paces` are those of this process; no request reads or writes the database for them."""

    def __init__(
        self,
        read: TransactionRunner,
        write: AsyncTransactionRunner,
        *,
        shared: bool,
        tested: Mapping[str, SelfTest],
    ) -> None:
        """`shared`: other machines use the same database. `tested`: by model. Raises StorageError."""
        self._write = write
        self._machine = platform.node() if shared else ""
        self._stored = read(lambda c: pace_tables.list_paces(c, self._machine, _now() - RETENTION_MS))
        self.paces = ModelPaces({**_tested(tested), **_readable(self._stored)})

    def periodic_tasks(self) -> list[PeriodicTask]:
        return [PeriodicTask("measured paces", INTERVAL_S, self.save)]

    async def save(self) -> None:
        """Writes the paces that changed. A failure is logged: the next call tries again."""
        found = {name: msgspec.json.encode(figures).decode() for name, figures in self.paces.figures().items()}
        changed = {name: text for name, text in found.items() if self._stored.get(name) != text}
        if not changed:
            return
        now = _now()
        try:
            await self._write(lambda c: pace_tables.store_paces(c, self._machine, changed, now, now - RETENTION_MS))
        except (StorageError, Conflict) as error:
            log.warning("measured paces cannot be stored: %s", error.message)
        else:
            self._stored |= changed


def stored_figures(read: TransactionRunner) -> Mapping[str, PaceFigures]:
    """By model, from a database that no other machine uses; empty if it is of an older release. Raises StorageError."""
    return _readable(read(lambda c: pace_tables.list_paces(c, "", _now() - RETENTION_MS)))


def _tested(tested: Mapping[str, SelfTest]) -> Mapping[str, PaceFigures]:
    """The paces of self-tests, so that a model's first deadline is predicted too. The first request replaces them."""
    found = {}
    for model, test in tested.items():
        if test.prompt_tokens_per_s > 0 and test.output_tokens_per_s > 0:
            pace = LoadPace()
            pace.first.add(TESTED_PROMPT, TESTED_PROMPT / test.prompt_tokens_per_s)
            pace.rest.add(TESTED_OUTPUT, TESTED_OUTPUT / test.output_tokens_per_s)
            found[model] = PaceFigures({1: pace}, length=TESTED_OUTPUT)
    return found


def _now() -> int:
    """Unix ms."""
    return time.time_ns() // 1_000_000


def _readable(stored: Mapping[str, str]) -> Mapping[str, PaceFigures]:
    """Without figures of another release."""
    found = {}
    for model, text in stored.items():
        with contextlib.suppress(msgspec.DecodeError):
            found[model] = msgspec.json.decode(text, type=PaceFigures)
    return found
