"""Periodic tasks run by their intervals, a failure is shown and tried again, and the leader's run on the leader."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from sizewise.errors import StorageError
from sizewise.jobs.periodic_tasks import PeriodicTask, PeriodicTasks, TaskStatus


def ran(*tasks: PeriodicTask, leads: bool | Callable[[], bool] = True) -> list[TaskStatus]:
    """The status after a while: a task without a pause has run many times by then."""
    periodic, seen = PeriodicTasks(), 0

    async def count() -> None:
        nonlocal seen
        seen += 1

    async def run() -> None:
        ticks = PeriodicTask("ticks", 0.0, count)
        task = asyncio.ensure_future(periodic.run([*tasks, ticks], leads if callable(leads) else lambda: leads))
        while seen < 20:
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())
    return periodic.status[:-1]


def test_a_task_says_when_it_runs_next() -> None:
    async def later() -> float:
        return 3_600.0

    (status,) = ran(PeriodicTask("schedules", 0.0, later, at_once=True))
    assert status.runs == 1 and status.last_run > 0


def test_a_task_that_is_not_due_has_not_run() -> None:
    async def never() -> None:
        raise AssertionError

    (status,) = ran(PeriodicTask("hourly", 3_600.0, never))
    assert (status.runs, status.last_run, status.last_error) == (0, 0.0, "")


def test_a_failure_is_shown_and_the_task_runs_again() -> None:
    failures = 0

    async def fail_twice() -> float | None:
        nonlocal failures
        if failures == 2:
            return 3_600.0
        failures += 1
        raise StorageError("the disk is full")

    async def fail() -> None:
        raise StorageError("the disk is full")

    healed, ill = ran(PeriodicTask("healed", 0.0, fail_twice), PeriodicTask("ill", 0.0, fail))
    assert (healed.failures, healed.last_error, healed.runs) == (2, "", 3)
    assert ill.failures > 2 and ill.last_error == "the disk is full"


def test_a_fault_of_our_own_is_shown_and_the_task_runs_again() -> None:
    faults = 0

    async def fault_twice() -> float | None:
        nonlocal faults
        if faults == 2:
            return 3_600.0
        faults += 1
        raise ZeroDivisionError

    async def fault() -> None:
        raise KeyError("secret")

    healed, ill = ran(PeriodicTask("healed", 0.0, fault_twice), PeriodicTask("ill", 0.0, fault))
    assert (healed.failures, healed.last_error, healed.runs) == (2, "", 1)
    assert ill.failures > 2 and ill.last_error == "unexpected KeyError"


def test_a_failing_task_impairs_the_server_and_says_why() -> None:
    tasks = PeriodicTasks()
    tasks.status += [TaskStatus("expiry", True, runs=1), TaskStatus("retention", True, last_error="the disk is full")]
    assert tasks.impaired() == ["the periodic task 'retention' fails: the disk is full"]


def test_what_the_leader_does_runs_on_the_leader_alone() -> None:
    async def work() -> None:
        pass

    task = PeriodicTask("retention", 0.0, work, leader_only=True)
    assert ran(task)[0].runs > 0
    assert ran(task, leads=False)[0].runs == 0


def test_who_leads_no_more_does_not_show_the_failure_of_when_it_led() -> None:
    led = 0

    def leads() -> bool:
        nonlocal led
        led += 1
        return led <= 3

    async def fail() -> None:
        raise StorageError("the database is away")

    (status,) = ran(PeriodicTask("canary", 0.0, fail, leader_only=True), leads=leads)
    assert (status.failures, status.last_error) == (3, "")
