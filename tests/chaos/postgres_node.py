"""A Postgres on a machine of the network, and a standby of it: started, killed, promoted; knows nothing of Sizewise."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.network import Machine
from tests.postgres import initialize, new_data_folder, programs, user_and_group
from tests.running_server import until

SETTINGS = (
    "listen_addresses=*",
    "unix_socket_directories=",
    "fsync=on",
    "max_connections=100",
    "shared_buffers=32MB",
    "max_wal_size=64MB",
    "min_wal_size=32MB",
    "wal_keep_size=64MB",
)


@dataclass
class PostgresNode:
    machine: Machine
    data: Path
    process: subprocess.Popen[bytes] | None = None

    def run(self, program: str, *words: str) -> subprocess.CompletedProcess[str]:
        command = [*self._as_user(), str(programs(self.data) / program), *words]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)

    def _as_user(self) -> list[str]:
        user, group = user_and_group()
        return [*self.machine.inside, "setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups"]

    def make(self) -> None:
        initialize(self.data, *SETTINGS)
        with (self.data / "pg_hba.conf").open("a") as file:
            file.write("host all all 0.0.0.0/0 trust\nhost replication all 0.0.0.0/0 trust\n")

    def start(self) -> None:
        words = [*self._as_user(), str(programs(self.data) / "postgres"), "-D", str(self.data)]
        with (self.data.parent / f"{self.data.name}.log").open("ab") as log:
            self.process = subprocess.Popen(words, stdout=log, stderr=log)
        until(self.is_ready)

    def is_ready(self) -> bool:
        with contextlib.suppress(subprocess.CalledProcessError):
            self.run("pg_isready", "-h", self.machine.address, "-t", "5")
            return True
        return False

    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        """At once: those that it started end with it."""
        assert self.process is not None
        group = (self.data / "postmaster.pid").read_text().splitlines()[0]
        children = Path(f"/proc/{group}/task/{group}/children").read_text().split()
        self.process.kill()
        for each in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(each), 9)
        self.process.wait(60)

    def follow(self, primary: PostgresNode) -> None:
        """Becomes its standby. From now on the primary confirms nothing that this one does not have."""
        words = ("-h", primary.machine.address, "-U", "postgres", "-D", str(self.data), "--write-recovery-conf")
        self.run("pg_basebackup", *words, "--checkpoint=fast", "--wal-method=stream")
        self.start()
        primary.ask("ALTER SYSTEM SET synchronous_standby_names = '*'")
        primary.ask("SELECT pg_reload_conf()")
        until(lambda: "sync" in primary.ask("SELECT sync_state FROM pg_stat_replication").split())

    def promote(self) -> None:
        self.ask("SELECT pg_promote()")

    def ask(self, words: str) -> str:
        return self.run("psql", "-h", self.machine.address, "-U", "postgres", "-Atc", words).stdout

    def stop(self) -> None:
        if self.is_running():
            self.kill()


@contextmanager
def postgres(machine: Machine) -> Iterator[PostgresNode]:
    """Not started yet: it may be made, or follow another."""
    node = PostgresNode(machine, new_data_folder())
    try:
        yield node
    finally:
        node.stop()
        shutil.rmtree(node.data.parent, ignore_errors=True)  # a process that it started may be about to end
