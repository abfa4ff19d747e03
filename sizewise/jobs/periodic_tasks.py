"""The scheduler of periodic work: names, intervals and jitter, with the last run and error of each; knows no work."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from random import uniform

from msgspec import Struct

from sizewise.errors import SizewiseError

log = logging.getLogger("sizewise.jobs")

JITTER = 0.1
"""Share of its interval by which a leader's task varies, so that they do not all write at once."""
RETRY_S = 30.0
"""Seconds until a task that failed runs again, if its interval is longer."""
LOOK_S = 5.0
"""Seconds between two looks at whether this server leads now."""


@dataclass(frozen=True, slots=True)
class PeriodicTask:
    """`run` may return the seconds until its next run, in place of `interval_s`. `at_once`: first at the start.

    `leader_only`: by one server of a database. A paused leader may be continued, so what must not happen twice is
    written with `Leadership.write` (leader_lease.py).
    """

    name: str
    interval_s: float
    run: Callable[[], Awaitable[float | None]]
    at_once: bool = False
    leader_only: bool = False


class TaskStatus(Struct):
    """`last_run`: when it ended, in Unix seconds; 0: never. `last_error`: of the last run; empty: it succeeded, or is
    another server's work now.
    """

    name: str
    leader_only: bool
    last_run: float = 0.0
    last_error: str = ""
    runs: int = 0
    failures: int = 0


def always() -> bool:
    return True


class PeriodicTasks:
    """One per process. A task that fails is logged once, and runs again soon."""

    def __init__(self) -> None:
        self.status: list[TaskStatus] = []

    def impaired(self) -> list[str]:
        """Each task whose last run failed, with the reason."""
        return [f"the periodic task {each.name!r} fails: {each.last_error}" for each in self.status if each.last_error]

    async def run(self, tasks: Iterable[PeriodicTask], leads: Callable[[], bool] = always) -> None:
        """Until cancelled. `leads`: whether this server is the leader now."""
        loops: dict[asyncio.Task[None], tuple[PeriodicTask, TaskStatus]] = {}
        for task in tasks:
            status = TaskStatus(task.name, task.leader_only)
            self.status.append(status)
            first = 0.0 if task.at_once else task.interval_s
            loops[asyncio.ensure_future(_run(task, status, leads, first))] = task, status
        try:
            while loops:
                ended, _ = await asyncio.wait(loops, return_when=asyncio.FIRST_COMPLETED)
                for loop in ended:  # a fault of ours: no reason for it never to run again
                    task, status = loops.pop(loop)
                    fault = f"unexpected {type(loop.exception()).__name__}"
                    if status.last_error != fault:
                        log.error("the periodic task %r fails, it is tried again: %s", task.name, fault)
                    status.last_error = fault
                    status.failures += 1
                    again = _run(task, status, leads, min(task.interval_s, RETRY_S))
                    loops[asyncio.ensure_future(again)] = task, status
        finally:
            for loop in loops:
                loop.cancel()
            await asyncio.gather(*loops, return_exceptions=True)


async def _run(task: PeriodicTask, status: TaskStatus, leads: Callable[[], bool], pause: float) -> None:
    """`pause`: before the first run, seconds."""
    while True:
        await asyncio.sleep(pause * uniform(1 - JITTER, 1 + JITTER) if task.leader_only else pause)
        if task.leader_only and not leads():
            status.last_error = ""  # of when it led: the work is another's now
            pause = min(LOOK_S, task.interval_s)
            continue
        pause = task.interval_s
        try:
            pause = await task.run() or task.interval_s
        except SizewiseError as error:
            if status.last_error != error.message:
                log.warning("the periodic task %r fails, it is tried again: %s", task.name, error.message)
            status.last_error = error.message
            status.failures += 1
            pause = min(pause, RETRY_S)
        else:
            if status.last_error:
                log.warning("the periodic task %r succeeds again", task.name)
            status.last_error = ""
        status.runs += 1
        status.last_run = time.time()
