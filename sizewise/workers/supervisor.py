"""The supervisor of a server of several processes: starts them, restarts those that die, stops all; answers nothing.

It runs no event loop and no thread, so that it can fork, and holds what outlives the others: the lock of the home, the
listening sockets, and the settings that were accepted last.
"""

from __future__ import annotations

import asyncio
import logging
import os
import select
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from sizewise.errors import ConfigError, SizewiseError
from sizewise.gateway.tls import Certificates
from sizewise.process import physical_cores, raise_open_files_limit
from sizewise.server import LISTENER_COPIES, ServerFile, ServerProcess, bind_socket, run_process
from sizewise.settings.load import Settings, load_settings, read_settings_file
from sizewise.storage.home_lock import locked_home
from sizewise.telemetry.logs import prepare_logs
from sizewise.workers.control import ControlSocket, Ready, RunFolder, SettingsAccepted, StartFailed, listen_at
from sizewise.workers.forking import fork
from sizewise.workers.gateway_worker import GatewayWorker
from sizewise.workers.store_process import StoreProcess

STORE = 0
"""The number of the store process; workers have 1..."""
STABLE_S = 1.0
"""A process that served so long is restarted at once when it dies."""
BACKOFF_S, MAX_BACKOFF_S = 0.5, 30.0
"""Seconds before the second restart in a row, doubled for each further one."""
END_S = 10.0
"""Seconds after the drain in which a process may end by itself."""

log = logging.getLogger("sizewise.workers")


@dataclass
class Child:
    """A process that runs, or will be started at `due`. `ready_at`: when it began to serve; 0: not yet."""

    number: int
    pid: int = 0
    ready_at: float = 0.0
    failures: int = 0
    due: float = 0.0  # monotonic seconds

    @property
    def name(self) -> str:
        return "the store process" if self.number == STORE else f"gateway worker {self.number}"


def worker_count(settings: Settings) -> int:
    wanted = settings.server.workers
    return physical_cores() if wanted == "auto" else wanted


def run_workers(settings: Settings, as_json: bool) -> None:
    """Serves until SIGINT or SIGTERM. Raises SizewiseError if the server cannot start."""
    raise_open_files_limit()
    with ExitStack() as opened:
        opened.enter_context(locked_home(settings.home))
        prepare_logs(settings.logs, settings.home)()
        listening = opened.enter_context(bind_socket(settings.server.host, settings.server.port))
        settings = replace(settings, server=replace(settings.server, port=listening.getsockname()[1]))
        folder = RunFolder(Path(tempfile.mkdtemp(prefix="sizewise-")))
        opened.callback(shutil.rmtree, folder.path, ignore_errors=True)
        Supervisor(settings, listening, folder, as_json=as_json).run()


class Supervisor:
    """One per server; `run` returns when all processes have ended."""

    def __init__(self, settings: Settings, listening: socket.socket, folder: RunFolder, *, as_json: bool) -> None:
        self._settings = settings
        self._content = read_settings_file(settings)
        self._folder = folder
        self._as_json = as_json
        self._listening = [listening, *(listening.dup() for _ in range(1, LISTENER_COPIES))]
        self._sockets = listen_at(folder.protocol), listen_at(folder.http)
        self._control = ControlSocket()
        self._count = worker_count(settings)
        self._discovered = asyncio.run(ServerProcess().discover(settings))
        tls = settings.server.tls
        self._certificates = Certificates(tls, settings.home) if tls.cert else None
        self._file = ServerFile(settings, self._certificates)
        self._children = {number: Child(number) for number in range(self._count + 1)}
        self._signals: list[int] = []

    def run(self) -> None:
        """Raises SizewiseError if a process cannot start."""
        for each in self._listening:
            each.listen(2_048)
        with self._catching_signals():
            try:
                store = self._start_first([STORE])
                self._start_first(range(1, self._count + 1))
                if not self._signals:
                    self._file.write()
                    self._announce(store)
                    self._supervise()
            finally:
                self._stop()
                self._file.remove()
                if self._certificates is not None:
                    self._certificates.close()
                for each in (*self._sockets, *self._listening):
                    each.close()

    # ---- start

    def _start_first(self, numbers: range | list[int]) -> Ready | None:
        """Starts these and waits until they serve; the message of the last one. Raises what stopped one of them."""
        for number in numbers:
            self._start(self._children[number])
        ready = None
        while not self._signals and not all(self._children[each].ready_at for each in numbers):
            for report in self._wait(1.0):
                if isinstance(report, StartFailed):
                    raise report.as_error()
                if isinstance(report, Ready):
                    ready = report
                    self._children[report.number].ready_at = time.monotonic()
            for child, cause in self._reap():
                found = [each for each in self._control.receive() if isinstance(each, StartFailed)]
                raise found[0].as_error() if found else SizewiseError(f"{child.name} {cause} while it started")
        return ready

    def _start(self, child: Child) -> None:
        child.ready_at = 0.0
        name = "sizewise-store" if child.number == STORE else f"sizewise-gw-{child.number}"
        child.pid = fork(
            name, partial(self._run_child, child.number), partial(self._control.report_error, child.number)
        )

    def _run_child(self, number: int) -> None:
        if number == STORE:
            for each in self._listening:
                each.close()
            process: ServerProcess = StoreProcess(
                self._control,
                self._folder,
                self._sockets,
                self._discovered,
                worker_count=self._count,
                content=self._content,
            )
        else:
            for each in self._sockets:
                each.close()
            process = GatewayWorker(
                number,
                self._control,
                self._folder,
                self._listening,
                discovered=self._discovered,
                certificates=self._certificates,
                content=self._content,
            )
        run_process(self._settings, process)

    def _announce(self, store: Ready | None) -> None:
        assert store is not None  # the store process has started
        print(store.welcome_json if self._as_json else store.welcome, flush=True)  # noqa: T201 - for the terminal

    # ---- while it runs

    def _supervise(self) -> None:
        """Until a signal stops the server."""
        while True:
            for number in self._take_signals():
                if number != signal.SIGHUP or sys.stdin.isatty():  # with a terminal, it was closed
                    return
                self._kill(self._children[STORE], signal.SIGHUP)
            for report in self._wait(self._pause()):
                self._handle(report)
            for child, cause in self._reap():
                self._plan_restart(child, cause)
            now = time.monotonic()
            for child in self._children.values():
                if not child.pid and child.due <= now:
                    self._start(child)

    def _handle(self, report: Ready | StartFailed | SettingsAccepted) -> None:
        if isinstance(report, Ready):
            self._children[report.number].ready_at = time.monotonic()
        elif isinstance(report, StartFailed):
            log.error("%s cannot start: %s; %s", self._children[report.number].name, report.message, report.hint)
        elif self._folder.settings.is_file():
            self._content = self._folder.settings.read_bytes()
            found = load_settings(self._settings.config_file, self._settings.home, content=self._content)
            server = self._settings.server
            self._settings = replace(
                found, server=replace(found.server, host=server.host, port=server.port, workers=server.workers)
            )
            if self._certificates is not None:
                self._certificates.prepare(found.server.tls)()
            self._file.rewrite()
            with suppress(ConfigError):  # the other processes could write to the file, a moment ago
                prepare_logs(found.logs, found.home)()

    def _plan_restart(self, child: Child, cause: str) -> None:
        now = time.monotonic()
        was_stable = child.ready_at and now - child.ready_at >= STABLE_S
        child.failures = 1 if was_stable else child.failures + 1
        pause = 0.0 if child.failures == 1 else min(MAX_BACKOFF_S, BACKOFF_S * 2.0 ** (child.failures - 2))
        child.pid, child.due = 0, now + pause
        log.warning("%s %s; it is restarted %s", child.name, cause, f"in {pause:g} s" if pause else "at once")

    def _pause(self) -> float:
        """Seconds until a restart is due."""
        due = [each.due for each in self._children.values() if not each.pid]
        return max(0.0, min(due) - time.monotonic()) if due else 60.0

    # ---- stop

    def _stop(self) -> None:
        """Workers first: what they forward is answered by the store process until then."""
        for each in self._listening:
            each.close()
        drain = self._settings.server.drain_timeout_s
        self._end([child for child in self._children.values() if child.number != STORE], drain + END_S)
        self._end([self._children[STORE]], drain + END_S)

    def _end(self, children: list[Child], timeout_s: float) -> None:
        end = time.monotonic() + timeout_s
        for child in children:
            self._kill(child, signal.SIGTERM)
        while any(child.pid for child in children) and time.monotonic() < end:
            for number in self._take_signals():  # a second Ctrl-C does not wait for the drain
                for child in children:
                    self._kill(child, number)
            self._wait(min(1.0, end - time.monotonic()))
            self._reap()
        for child in children:
            self._kill(child, signal.SIGKILL)
        while any(child.pid for child in children):
            self._wait(0.05)
            self._reap()

    def _kill(self, child: Child, number: int) -> None:
        if child.pid:
            os.kill(child.pid, number)  # it is not reaped yet, so the number is still its own

    def _reap(self) -> list[tuple[Child, str]]:
        """The children that have ended, each with the cause in words."""
        ended = []
        for child in self._children.values():
            pid, status = os.waitpid(child.pid, os.WNOHANG) if child.pid else (0, 0)
            if pid:
                child.pid = 0
                code = os.waitstatus_to_exitcode(status)
                cause = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
                ended.append((child, cause))
        return ended

    # ---- waiting

    def _wait(self, seconds: float) -> list[Ready | StartFailed | SettingsAccepted]:
        """The reports that have come, after `seconds` at most or a signal."""
        select.select([self._control.ours, self._wakeup], [], [], max(0.0, seconds))
        with suppress(BlockingIOError):
            self._wakeup.recv(4_096)
        return self._control.receive()

    def _take_signals(self) -> list[int]:
        taken, self._signals = self._signals, []
        return taken

    @contextmanager
    def _catching_signals(self) -> Iterator[None]:
        self._wakeup, waking = socket.socketpair()
        waking.setblocking(False)
        self._wakeup.setblocking(False)
        before = {number: signal.signal(number, self._on_signal) for number in CAUGHT}
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(waking.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(-1)
            for number, handler in before.items():
                signal.signal(number, handler)
            self._wakeup.close()
            waking.close()

    def _on_signal(self, number: int, frame: object) -> None:
        self._signals.append(number)


CAUGHT = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
