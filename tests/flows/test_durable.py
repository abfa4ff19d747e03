"""Runs over failures, restarts, cancellation, revoked keys and long waits; what they are given and gave lies sealed."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator

import pytest

from sizewise.auth.api_keys import audit_event
from sizewise.errors import Busy, Conflict, Forbidden, PathNotFound, SizewiseError, UpstreamUnreachable
from sizewise.flows.engine import Steps
from sizewise.flows.tables import FlowRun, RunRetention
from sizewise.settings.storage import FlowsSettings
from tests.flows.flow_harness import FlowHarness, step
from tests.running_server import until
from tests.test_canaries import spellings

CANARY = "canary-flow-zqxjkv"


@pytest.fixture(scope="module")
def floor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlowHarness]:
    made = FlowHarness(
        tmp_path_factory.mktemp("flows") / "home",
        FlowsSettings(max_concurrent_runs=20, max_concurrent_runs_per_organization=20, allow_self_approval=True),
    )
    yield made
    made.close()


@pytest.mark.long
def test_a_run_gives_its_outputs_and_shows_its_steps(floor: FlowHarness) -> None:
    async def part(steps: Steps, floor: FlowHarness) -> bytes:
        async def work() -> bytes:
            steps.annotate("answer", model="echo/small", cost=5)
            steps.annotate("answer", cost=7)
            return b'"yes"'

        return b'{"said": %b}' % await steps.step("answer", work)

    floor.play("plain", part)
    run = floor.ended(floor.start("plain", inputs=b'{"question": "what?"}', trace="a" * 32))
    assert (run.state, run.attempt, run.error) == ("done", 1, "")
    assert floor.do(floor.runs.queries.get_value(floor.boss, run.id)) == b'{"said": "yes"}'
    assert floor.do(floor.runs.queries.get_value(floor.boss, run.id, "answer")) == b'"yes"'
    [only] = floor.do(floor.runs.queries.list_steps(floor.boss, run.id))
    assert (only.key, only.state, only.model, only.cost) == ("answer", "done", "echo/small", 12)
    begun = floor.started[-1]
    assert (begun.inputs, begun.trace, begun.principal.key_id) == (b'{"question": "what?"}', "a" * 32, "admin")


def test_a_run_that_failed_is_resumed_at_the_step_that_failed(floor: FlowHarness) -> None:
    ill = [True]

    async def part(steps: Steps, floor: FlowHarness) -> bytes:
        await step(steps, floor, "first")

        async def work() -> bytes:
            floor.asked["second"] += 1
            if ill[0]:
                raise UpstreamUnreachable("nobody answers", "wait a little")
            return b"2"

        return b'{"second": %b}' % await steps.step("second", work)

    floor.play("ill", part)
    run = floor.ended(floor.start("ill"))
    assert (run.state, run.error) == ("failed", "upstream_unreachable")
    why = floor.do(floor.runs.queries.get_error(floor.boss, run.id))
    assert why is not None and (why.message, why.hint) == ("nobody answers", "wait a little")
    assert [(each.key, each.state) for each in floor.do(floor.runs.queries.list_steps(floor.boss, run.id))] == [
        ("first", "done"),
        ("second", "failed"),
    ]
    with pytest.raises(UpstreamUnreachable, match="nobody answers"):
        floor.do(floor.runs.starter.run_to_completion(floor.boss, "ill", b"{}"))
    ill[0] = False
    floor.asked.clear()
    floor.do(floor.runs.control.resume(floor.boss, run.id))
    run = floor.ended(run)
    assert (run.state, run.attempt) == ("done", 2)
    assert floor.asked == {"second": 1}
    with pytest.raises(Conflict, match="is done"):
        floor.do(floor.runs.control.resume(floor.boss, run.id))


def test_a_fault_of_ours_fails_its_run_and_says_nothing_of_it(floor: FlowHarness) -> None:
    async def part(steps: Steps, floor: FlowHarness) -> bytes:
        raise KeyError(CANARY)

    floor.play("fault", part)
    run = floor.ended(floor.start("fault"))
    assert (run.state, run.error) == ("failed", "internal_error")
    why = floor.do(floor.runs.queries.get_error(floor.boss, run.id))
    assert why is not None and CANARY not in why.message + why.hint


def test_a_cancelled_run_stops_at_once_writes_nothing_more_and_can_be_resumed(floor: FlowHarness) -> None:
    async def part(steps: Steps, floor: FlowHarness) -> bytes:
        await step(steps, floor, "before")

        async def work() -> bytes:
            floor.asked["during"] += 1
            if floor.asked["during"] == 1:
                await asyncio.sleep(60)
            return b"1"

        await steps.step("during", work)
        return b"{}"

    floor.play("slow", part)
    floor.asked.clear()
    run = floor.start("slow")
    until(lambda: floor.asked["during"])
    assert [each.state for each in floor.do(floor.runs.queries.list_steps(floor.boss, run.id))] == ["done", "running"]
    assert floor.do(floor.runs.control.cancel(floor.boss, run.id)).state == "cancelled"
    until(lambda: not floor.runs.active.runs)
    assert [each.key for each in floor.do(floor.runs.queries.list_steps(floor.boss, run.id))] == ["before"]
    with pytest.raises(Conflict, match="has already ended"):
        floor.do(floor.runs.control.cancel(floor.boss, run.id))
    floor.do(floor.runs.control.resume(floor.boss, run.id))
    assert floor.ended(run).state == "done"
    assert floor.asked == {"before": 1, "during": 2}


def test_a_client_that_leaves_takes_its_run_along(floor: FlowHarness) -> None:
    async def part(steps: Steps, floor: FlowHarness) -> bytes:
        floor.asked["left"] += 1
        await asyncio.sleep(60)
        return b"{}"

    async def leaving() -> None:
        asking = asyncio.create_task(floor.runs.starter.run_to_completion(floor.boss, "left", b"{}"))
        while not floor.asked["left"]:
            await asyncio.sleep(0.005)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)

    floor.play("left", part)
    floor.do(leaving())
    [(_, run)] = floor.do(floor.runs.queries.list_runs(floor.boss, flow="left"))
    assert run.state == "cancelled"


@pytest.mark.long
def test_a_run_waits_for_a_person_over_restarts_and_the_first_word_counts(floor: FlowHarness) -> None:
    async def part(steps: Steps, floor: FlowHarness) -> bytes:
        await step(steps, floor, "draft")
        told = await steps.wait("review", b'{"question": "send it?"}')
        await step(steps, floor, "send")
        return b'{"told": %b}' % (told or b"null")

    floor.play("approved", part)
    floor.asked.clear()
    run = floor.start("approved")
    until(lambda: floor.one(run).state == "waiting")
    for _ in range(2):
        floor.again()
        until(lambda: floor.runs.active.runs)
        [waits] = floor.do(floor.runs.approval.list_waiting(floor.boss))
        assert (waits.run.id, waits.run.state, waits.key) == (run.id, "waiting", "review")
        assert waits.question == b'{"question": "send it?"}'
    other = floor.key(project="other")
    with pytest.raises(PathNotFound):
        floor.do(floor.runs.approval.decide(other, run.id, "review", True))
    floor.do(floor.runs.approval.decide(floor.boss, run.id, "review", True, "well done", b'{"a": 1}'))
    with pytest.raises(Conflict, match=r"'review' of the run .* is waiting"):
        floor.do(floor.runs.approval.decide(floor.boss, run.id, "review", False))
    assert floor.ended(run).state == "done"
    gave = json.loads(floor.do(floor.runs.queries.get_value(floor.boss, run.id)) or b"")
    assert gave["told"] == {"approved": True, "note": "well done", "by": "admin", "value": {"a": 1}}
    assert floor.asked == {"draft": 1, "send": 1}
    last = floor.do(floor.services.audit_log.newest("local", 1))[0].deed
    assert last == audit_event(floor.boss, "local", "flow.decide", f"run:{run.id}/review", None, {"approved": True})


def test_a_decision_that_comes_too_late_is_refused(floor: FlowHarness) -> None:
    async def part(steps: Steps, floor: FlowHarness) -> bytes:
        told = await steps.wait("review", timeout_s=0.05)
        return b'{"late": %s}' % (b"true" if told is None else b"false")

    floor.play("late", part)
    run = floor.ended(floor.start("late"))
    assert floor.do(floor.runs.queries.get_value(floor.boss, run.id)) == b'{"late": true}'
    with pytest.raises(Conflict):
        floor.do(floor.runs.approval.decide(floor.boss, run.id, "review", True))


@pytest.mark.long
def test_a_run_sleeps_no_longer_for_a_restart(floor: FlowHarness) -> None:
    async def part(steps: Steps, floor: FlowHarness) -> bytes:
        floor.asked["woken"] += 1
        await steps.sleep("pause", 1.5)
        return b"{}"

    floor.play("sleeps", part)
    run = floor.start("sleeps")
    until(lambda: floor.asked["woken"] and floor.runs.active.runs)
    floor.again()
    run = floor.ended(run)
    assert run.state == "done" and run.began is not None and run.ended is not None
    assert run.ended - run.began >= 1_500
    assert floor.asked["woken"] == 2


def test_the_runs_of_a_revoked_key_stop_and_begin_no_more(floor: FlowHarness) -> None:
    async def part(steps: Steps, floor: FlowHarness) -> bytes:
        floor.asked["held"] += 1
        await asyncio.sleep(60)
        return b"{}"

    floor.play("held", part)
    mine = floor.key()
    run = floor.start("held", mine)
    until(lambda: floor.asked["held"])
    floor.do(floor.services.api_keys.revoke(mine.key_id))
    run = floor.ended(run)
    assert (run.state, run.error) == ("failed", "invalid_api_key")
    floor.do(floor.runs.control.resume(floor.boss, run.id))
    run = floor.ended(run)
    assert (run.state, run.error) == ("failed", "invalid_api_key")
    assert floor.asked["held"] == 1


def test_nobody_sees_or_touches_what_is_anothers(floor: FlowHarness) -> None:
    async def part(steps: Steps, floor: FlowHarness) -> bytes:
        return b'{"a": 1}'

    floor.play("mine", part)
    run = floor.ended(floor.start("mine"))
    for other in (floor.key(project="other"), floor.key(tenant="elsewhere"), floor.key(tenant="elsewhere", wide=True)):
        for work in (
            floor.runs.queries.get,
            floor.runs.queries.list_steps,
            floor.runs.queries.get_value,
            floor.runs.control.cancel,
            floor.runs.control.resume,
        ):
            with pytest.raises(PathNotFound):
                floor.do(work(other, run.id))
        assert floor.do(floor.runs.queries.list_runs(other)) == []
        with pytest.raises(PathNotFound, match="no flow 'mine'"):
            floor.start("mine", other)
    same = floor.key()
    assert floor.do(floor.runs.queries.get(same, run.id)).id == run.id
    with pytest.raises(Forbidden, match="another user"):
        floor.do(floor.runs.queries.get_value(same, run.id))
    with pytest.raises(Forbidden, match="the `ask` permission"):
        floor.start("mine", floor.key(may=["read_records"]))


def test_a_run_of_the_same_id_is_started_once(floor: FlowHarness) -> None:
    async def part(steps: Steps, floor: FlowHarness) -> bytes:
        await step(steps, floor, "once")
        return b"{}"

    floor.play("once", part)
    floor.asked.clear()
    both = [floor.start("once", id="c" * 32) for _ in range(2)]
    assert both[0].id == both[1].id
    assert floor.ended(both[1]).state == "done"
    assert floor.asked == {"once": 1}


@pytest.mark.long
def test_steps_that_run_side_by_side_come_back_whatever_their_order_was(floor: FlowHarness) -> None:
    """DBOS would number them as they begin, and refuse the replay."""
    gate = [False]

    async def part(steps: Steps, floor: FlowHarness) -> bytes:
        keys = [f"each[{number}]" for number in range(30)]
        random.shuffle(keys)
        await asyncio.gather(*(step(steps, floor, key) for key in keys))
        if not gate[0]:
            floor.asked["gate"] += 1
            await asyncio.sleep(60)
        return b"{}"

    floor.play("side", part)
    floor.asked.clear()
    run = floor.start("side")
    until(lambda: floor.asked["gate"])
    gate[0] = True
    floor.again()
    assert floor.ended(run).state == "done"
    assert all(floor.asked[f"each[{number}]"] == 1 for number in range(30))


def test_a_large_value_lies_beside_its_steps_once(floor: FlowHarness) -> None:
    large = json.dumps("x" * 1_000_000).encode()

    async def part(steps: Steps, floor: FlowHarness) -> bytes:
        gave = [await step(steps, floor, key, large) for key in ("a", "b", "c")]
        return b'{"same": %s}' % (b"true" if gave == [large] * 3 else b"false")

    floor.play("large", part)
    run = floor.ended(floor.start("large"))
    assert floor.do(floor.runs.queries.get_value(floor.boss, run.id)) == b'{"same": true}'
    assert floor.do(floor.runs.queries.get_value(floor.boss, run.id, "b")) == large
    assert _count(floor, "flow_blobs", run) == 1


def _count(floor: FlowHarness, table: str, run: FlowRun) -> int:
    query = f"SELECT count(*) FROM {table} WHERE run = ?"
    return int(
        floor.services.storage.database.read_transaction(lambda c: c.exec_driver_sql(query, (run.id,)).scalar() or 0)
    )


def test_more_runs_than_may_be_are_refused_and_what_ended_is_forgotten(floor: FlowHarness) -> None:
    async def part(steps: Steps, floor: FlowHarness) -> bytes:
        await steps.sleep("nap", 600)
        return b"{}"

    floor.play("many", part)
    runs = [floor.start("many") for _ in range(20)]
    until(lambda: len(floor.runs.active.runs) == 20)
    with pytest.raises(Busy, match="20 runs are active, the maximum of this server"):
        floor.start("many")
    for each in runs:
        floor.do(floor.runs.control.cancel(floor.boss, each.id))
    forgetting = RunRetention(retention_ms=10**12, max_rows=3, max_bytes=10**9)
    while floor.services.storage.writer.run_transaction_sync(forgetting):
        pass
    left = floor.do(floor.runs.queries.list_runs(floor.boss, limit=1_000))
    assert len(left) == 3
    assert _count(floor, "flow_steps", runs[0]) == 0
    with pytest.raises(PathNotFound):
        floor.one(runs[0])


def test_nothing_that_is_said_in_a_run_lies_readable_in_the_home(floor: FlowHarness) -> None:
    word = f"{CANARY}-said"

    async def part(steps: Steps, floor: FlowHarness) -> bytes:
        await step(steps, floor, "said", json.dumps(word).encode())
        await steps.wait("ask", json.dumps(word).encode(), timeout_s=0.01)

        async def work() -> bytes:
            raise UpstreamUnreachable(f"it said {word}")

        await steps.step("fails", work)
        return b"{}"

    floor.play("quiet", part)
    floor.do(floor.versions.save(floor.boss, "default", "quiet", "e" * 64, f"system: {word}".encode()))
    with pytest.raises(SizewiseError, match=word):
        given = json.dumps({"a": word}).encode()
        floor.do(floor.runs.starter.run_to_completion(floor.boss, "quiet", given, endpoint="tool"))
    names = {path.name: path.read_bytes() for path in floor.home.rglob("*") if path.is_file()}
    assert {"flows.db", "sizewise.db"} <= names.keys()
    assert [name for name, data in names.items() if any(each in data for each in spellings(word))] == []


def test_what_is_published_is_live_until_another_is_and_each_change_is_audited(floor: FlowHarness) -> None:
    shelf, boss = floor.versions, floor.boss
    told: list[str] = []
    shelf.listeners.append(lambda: told.append("changed"))
    with pytest.raises(PathNotFound, match="has no version"):
        floor.do(shelf.publish(boss, "default", "news", "1" * 64))
    for version in ("1" * 64, "2" * 64, "1" * 64):
        floor.do(shelf.save(boss, "default", "news", version, version[:1].encode()))
        floor.do(shelf.publish(boss, "default", "news", version))
        assert shelf.get_published("local", "default", "news").version == version
    assert len(told) == 3
    assert [each.version[:1] for each in floor.do(shelf.list_versions("local", "default", "news"))] == ["2", "1"]
    assert floor.do(shelf.read_source("local", "default", "news", "2" * 64)) == b"2"
    assert floor.do(shelf.resolve_version("local", "default", "news", "22222222")) == "2" * 64
    assert floor.do(shelf.resolve_version("local", "default", "news", "")) == "1" * 64
    floor.again()
    shelf = floor.versions
    assert shelf.get_published("local", "default", "news").version == "1" * 64
    floor.do(shelf.unpublish(boss, "default", "news"))
    with pytest.raises(PathNotFound, match="no flow 'news'"):
        shelf.get_published("local", "default", "news")
    actions = [line.deed.action for line in floor.do(floor.services.audit_log.newest("local", 6))]
    assert actions == ["flow.withdraw", "flow.publish", "flow.publish", "flow.save", "flow.publish", "flow.save"]
