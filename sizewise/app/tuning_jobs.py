"""Tuning jobs: trainings of planned runs that the studio starts, each by the command line's own program; trains none.

A job outlives the request that started it, and a crash of the server. What is trained is on disk: `start` goes on.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from sizewise.catalog.file_lock import is_locked
from sizewise.errors import Busy, Conflict, ExternalFailure
from sizewise.process import start_program
from sizewise.settings.load import inherited_environment
from sizewise.tuning.environment import require_environment
from sizewise.tuning.run_store import RunStore, TuningRun

MAX_LINE_BYTES = 1 << 20
UNFINISHED = ("planned", "training")
LOG = "job.log"


class TuningJobs:
    """One per process. One training at a time: two take longer than one after the other, and twice the memory."""

    def __init__(self, home: Path, cache: Path, settings_file: Path | None, *, on_cluster: bool) -> None:
        """`on_cluster`: trainings run on a Ray cluster, and need nothing here."""
        self._store = RunStore(home)
        self._home = home
        self._cache = cache
        self._settings_file = settings_file
        self._on_cluster = on_cluster
        self._own = ""  # the run that this process trains
        self._task: asyncio.Task[None] | None = None
        self._failures: dict[str, str] = {}

    def is_running(self, run: TuningRun) -> bool:
        """By this process, or by another one: a lock tells that one trains, and it is the run that began."""
        return self._own == run.name or (not self._own and run.state == "training" and is_locked(self._store.lock))

    def failure(self, name: str) -> str:
        """Why the last job of this process ended early; empty if it did not."""
        return self._failures.get(name, "")

    def setup_command(self) -> str:
        """What must be run before a training; empty: nothing."""
        try:
            self._require_environment()
        except ExternalFailure as missing:
            return missing.hint.removeprefix("Run: ")
        return ""

    async def start(self, name: str) -> None:
        """Trains a planned run, or goes on with it. Raises PathNotFound, Conflict, Busy, ExternalFailure."""
        run = await asyncio.to_thread(self._store.require, name)
        if run.state not in UNFINISHED:
            raise Conflict(f"the tuning run {name!r} is {run.state}", "plan a new one: sizewise tune plan")
        if run.decision:
            raise Conflict(
                f"{name!r} is of a decision, whose answers are not kept in a file",
                f"Run: sizewise tune distill {run.decision[:12]}",
            )
        self._require_environment()
        if self._own == name:
            return
        if self._own or is_locked(self._store.lock):
            raise Busy(f"{self._own or 'another run'!r} is in training", "wait for it, or cancel it", retry_after=60)
        self._own = name
        self._failures.pop(name, None)
        self._task = asyncio.create_task(self._train(name))

    def _require_environment(self) -> None:
        if not self._on_cluster:
            require_environment(self._cache)

    async def cancel(self, name: str) -> None:
        """The steps so far stay on disk. Raises Conflict for a run that is not in training here."""
        if self._own != name or self._task is None:
            raise Conflict(f"the tuning run {name[:100]!r} is not in training here", "stop the command that trains it")
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.wait({self._task})

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _train(self, name: str) -> None:
        log = self._store.folder(name) / LOG
        try:
            process = await start_program(self._words(name), inherited_environment(lambda _: True), MAX_LINE_BYTES, log)
            try:
                while await process.reader.readline():  # its report, which the run has too
                    pass
            finally:
                await process.terminate()
            run = await asyncio.to_thread(self._store.require, name)
            if run.state in UNFINISHED:
                self._failures[name] = await asyncio.to_thread(_last_words, log)
        except ExternalFailure as error:
            self._failures[name] = error.message
        finally:
            self._own = ""

    def _words(self, name: str) -> Sequence[str]:
        words = [sys.executable, "-P", "-m", "sizewise", "tune", "run", name, "--anyway", "--home", str(self._home)]
        return words if self._settings_file is None else [*words, "--config", str(self._settings_file)]


def _last_words(log: Path) -> str:
    """The message of the command, without its hint."""
    lines = [line for line in log.read_text("utf-8", "replace").splitlines() if line.startswith("sizewise: ")]
    return lines[-1].removeprefix("sizewise: ")[:500] if lines else "the training was ended from outside"
