"""Durable execution engine on DBOS: resumes runs after a crash, on any worker; stores run ids only.

DBOS stores the start and end of each attempt, and at startup calls again those of this worker that did not end. This
module adds takeover: a worker on another machine without a heartbeat for WORKER_TIMEOUT_S loses its runs to the others.
Two workers may then execute one run for a moment; the store refuses writes of the older epoch (tables.py).

DBOS runs in a thread with its own event loop: its calls replace the default executor of the loop they are made on, and
block while the database is down.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar

from sizewise.errors import ConfigError, SizewiseError, StorageError
from sizewise.flows.engine import Runner
from sizewise.flows.engines.worker_registry import WorkerRegistry
from sizewise.storage.database import Database, DatabaseUrl, third_party_engine, translate_errors

if TYPE_CHECKING:
    from dbos import DBOS, DBOSConfig, Serializer

log = logging.getLogger("sizewise.flows")

T = TypeVar("T")

PROTOCOL_VERSION = "1"
"""Version of the workflow's arguments. It is not Sizewise's version: a new release resumes the runs of an old one."""
SCHEMA = "sizewise_dbos"
HEARTBEAT_S = 2.0
WORKER_TIMEOUT_S = 10.0
"""With heartbeat, check and DBOS's polling of 1 s, another worker takes over within 15 s; the target is 30 s."""
RETENTION_MS = 86_400_000
"""DBOS's rows of ended attempts are deleted after a day; Sizewise's own tables keep the results."""
CLEANUP_INTERVAL_S = 120.0
UNFINISHED = frozenset({"PENDING", "ENQUEUED", "DELAYED"})
"""DBOS's states of attempts that it runs, or will run."""


class DbosEngine:
    """Durable engine; DBOS allows one per process."""

    def __init__(self, runner: Runner, url: DatabaseUrl, workers: WorkerRegistry | None = None) -> None:
        """`workers`: if several servers share the store. None: only this process uses it, and resumes its own runs."""
        self.worker_id = secrets.token_hex(8) if workers else "home"
        self._url = url
        self._workers = workers
        self._runner = runner
        self._app_loop: asyncio.AbstractEventLoop | None = None
        self._dbos_loop: asyncio.AbstractEventLoop | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._periodic_task: asyncio.Task[None] | None = None
        self._dbos: type[DBOS] | None = None
        self._database: Database | None = None
        self._workflow: Any = None  # what DBOS calls, in its thread
        self._on_closed: Callable[[], None] = lambda: None

    async def open(self) -> None:
        self._app_loop = asyncio.get_running_loop()
        if self._workers is not None:
            await asyncio.to_thread(self._workers.heartbeat, self.worker_id)
        self._dbos_loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._dbos_loop.run_forever, name="sizewise-dbos", daemon=True)
        self._thread.start()
        await self._in_dbos_loop(self._launch())
        self._periodic_task = asyncio.ensure_future(self._run_periodically())

    async def _launch(self) -> None:
        dbos, plain = _import_dbos()
        engine = third_party_engine(self._url)
        self._on_closed = engine.dispose
        self._database = Database(engine)
        config: DBOSConfig = {
            "name": "sizewise",
            "system_database_engine": engine,
            "dbos_system_schema": SCHEMA,
            "application_version": PROTOCOL_VERSION,
            "executor_id": self.worker_id,
            "serializer": plain,
            "log_level": "CRITICAL",  # it logs arguments
            "enable_otlp": False,
            "use_listen_notify": False,
            "notification_listener_polling_interval_sec": 1.0,  # unused, but shutdown waits for the poll
            "scheduler_polling_interval_sec": 3_600.0,  # unused
            "max_executor_threads": 16,
        }
        dbos(config=config)

        @dbos.workflow(name="run", max_recovery_attempts=None)
        async def called(run: str, attempt: int) -> None:
            """CancelledError leaves the attempt unfinished, for the next worker."""
            assert self._app_loop is not None
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._run(run, attempt), self._app_loop))

        self._workflow = called
        with _translated_errors():
            dbos.launch()
        self._dbos = dbos

    async def start(self, run: str, attempt: int) -> None:
        await self._in_dbos_loop(self._start(run, attempt))

    async def _start(self, run: str, attempt: int) -> None:
        from dbos import SetWorkflowID

        assert self._dbos is not None
        with _translated_errors(), SetWorkflowID(_workflow_id(run, attempt)):
            await self._dbos.start_workflow_async(self._workflow, run, attempt)

    async def ensure(self, runs: Sequence[tuple[str, int]]) -> int:
        if not runs:
            return 0  # DBOS takes no ids for all
        left = await self._in_dbos_loop(self._release([_workflow_id(run, attempt) for run, attempt in runs]))
        lost = [(run, attempt) for run, attempt in runs if _workflow_id(run, attempt) in left]
        for run, attempt in lost:
            await self.start(run, attempt)
        return len(lost)

    async def _release(self, ids: list[str]) -> set[str]:
        """Those of `ids` that DBOS neither runs nor resumes; it forgets those that ended, so that they can start."""
        assert self._dbos is not None
        with _translated_errors():
            found = await self._dbos.list_workflows_async(workflow_ids=ids, load_input=False, load_output=False)
            held = {each.workflow_id for each in found if each.status in UNFINISHED}
            ended = [each.workflow_id for each in found if each.workflow_id not in held]
            if ended:
                await self._dbos.delete_workflows_async(ended)
        return set(ids) - held

    async def forget(self, runs: Sequence[tuple[str, int]]) -> None:
        ids = [_workflow_id(run, number) for run, last in runs for number in range(1, last + 1)]
        await self._in_dbos_loop(self._forget(ids))
        if self._database is not None:
            await asyncio.to_thread(self._database.checkpoint, truncate=True)

    async def _forget(self, ids: list[str]) -> None:
        assert self._dbos is not None
        with _translated_errors():
            await self._dbos.delete_workflows_async(ids)

    async def _run(self, run: str, attempt: int) -> None:
        id, task = _workflow_id(run, attempt), asyncio.current_task()
        assert task is not None
        self._tasks[id] = task
        try:
            await self._runner(run)
        finally:
            if self._tasks.get(id) is task:
                del self._tasks[id]

    async def stop(self, run: str, attempt: int) -> None:
        id = _workflow_id(run, attempt)
        task = self._tasks.get(id)
        if task is not None:
            task.cancel()
        await self._in_dbos_loop(self._stop([id]))

    async def _stop(self, ids: list[str]) -> None:
        assert self._dbos is not None
        with _translated_errors():
            await self._dbos.cancel_workflows_async(ids)

    async def close(self) -> None:
        if self._periodic_task is not None:
            self._periodic_task.cancel()
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._dbos is not None:
            await asyncio.to_thread(self._dbos.destroy, destroy_registry=True)
            self._dbos = None
        self._on_closed()
        if self._dbos_loop is not None:
            self._dbos_loop.call_soon_threadsafe(self._dbos_loop.stop)
            await asyncio.to_thread(self._thread.join)
            self._dbos_loop.close()
            self._dbos_loop = None

    async def _in_dbos_loop(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs `work` on DBOS's event loop."""
        assert self._dbos_loop is not None
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._dbos_loop))

    # Takeover and cleanup, which DBOS does not do

    async def _run_periodically(self) -> None:
        due = 0.0
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            if self._workers is not None:
                await _report_failure(self._check_workers(self._workers))
            due -= HEARTBEAT_S
            if due <= 0:
                due = CLEANUP_INTERVAL_S
                if self._workers is not None:
                    await _report_failure(self._in_dbos_loop(self._adopt_orphans(self._workers)))
                await _report_failure(self._in_dbos_loop(self._clean_up()))

    async def _check_workers(self, workers: WorkerRegistry) -> None:
        await asyncio.to_thread(workers.heartbeat, self.worker_id)
        for dead in await asyncio.to_thread(workers.claim_expired, round(WORKER_TIMEOUT_S * 1_000)):
            if dead == self.worker_id:
                continue
            count = await self._in_dbos_loop(self._take_over({dead}))
            await asyncio.to_thread(workers.remove, dead)
            log.warning("a worker stopped responding; its %d runs continue on other workers", count)

    async def _take_over(self, dead: set[str]) -> int:
        """Hands the runs of `dead` workers to the live ones; returns their number."""
        assert self._dbos is not None
        with _translated_errors():
            found = await self._dbos.list_workflows_async(
                executor_id=sorted(dead),
                status="PENDING",
                load_input=False,
                load_output=False,
            )
            if found:
                await self._dbos.resume_workflows_async([each.workflow_id for each in found])
        return len(found)

    async def _adopt_orphans(self, workers: WorkerRegistry) -> None:
        """Takes over runs of unregistered workers: removed as dead, come back, and dead again before a heartbeat."""
        assert self._dbos is not None
        with _translated_errors():
            under = await self._dbos.list_workflows_async(status="PENDING", load_input=False, load_output=False)
        owners = {each.executor_id for each in under if each.executor_id}
        unknown = owners - await asyncio.to_thread(workers.list_ids)
        if unknown:
            await self._take_over(unknown)

    async def _clean_up(self) -> None:
        assert self._dbos is not None
        with _translated_errors():
            old = await self._dbos.list_workflows_async(
                status=["SUCCESS", "ERROR", "CANCELLED"],
                completed_before=_timestamp(RETENTION_MS),
                limit=5_000,
                load_input=False,
                load_output=False,
            )
            if old:
                await self._dbos.delete_workflows_async([each.workflow_id for each in old])


def is_installed() -> bool:
    return find_spec("dbos") is not None


def _workflow_id(run: str, attempt: int) -> str:
    return f"{run}.{attempt}"


def _timestamp(before_ms: int) -> str:
    return datetime.fromtimestamp(time.time() - before_ms / 1_000, UTC).isoformat()


async def _report_failure(work: Awaitable[None]) -> None:
    try:
        await work
    except SizewiseError as error:
        log.warning("the flow engine cannot reach its database: %s", error.message)


@contextmanager
def _translated_errors() -> Iterator[None]:
    from dbos import error as theirs

    try:
        with translate_errors("the flow engine"):
            yield
    except theirs.DBOSException as error:
        told = f"the flow engine failed: {type(error).__name__}"
        raise StorageError(told, "check that its database is reachable") from error


def _import_dbos() -> tuple[type[DBOS], Serializer]:
    """DBOS, with its cloud mode off whatever the environment says, and a serializer without pickle.

    Raises ConfigError if it is not installed.
    """
    try:
        import dbos
        from dbos._utils import GlobalParams
    except ImportError as error:
        hint = "install it: pip install 'sizewise[flows]'"
        raise ConfigError("durable flows need a library that is not installed", hint) from error
    GlobalParams.dbos_cloud = False  # DBOS__CLOUD=true would send workflows to it
    logging.getLogger("dbos").addHandler(logging.NullHandler())  # else DBOS adds one that writes to the terminal

    class Plain(dbos.Serializer):
        """Run ids and numbers as JSON; of an error only its class name, since messages may hold content."""

        def serialize(self, data: Any) -> str:
            return json.dumps(data, default=lambda other: type(other).__name__)

        @classmethod
        def deserialize(cls, serialized_data: str) -> Any:
            return json.loads(serialized_data)

        def name(self) -> str:
            return "sizewise_json"

    return dbos.DBOS, Plain()
