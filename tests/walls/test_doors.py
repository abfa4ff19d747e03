"""Doors that import-linter cannot see, for they are names and not modules: environment, sockets, child processes."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

import pytest

from tests.walls.source import Source, dotted, planted, stands

Door = tuple[frozenset[str], Mapping[str, str]]
"""Names (a dotted one is matched whole, another as the last part of any), and where they may be used, and why."""

DOORS: Mapping[str, Door] = {
    "the environment": (
        frozenset({"os.environ", "os.getenv", "os.environb", "os.putenv"}),
        {
            "sizewise/config.py": "the only reader",
            "sizewise/providers/worker.py": "sets what llama.cpp's threads read, in its own process; reads nothing",
        },
    ),
    "sockets": (
        frozenset(
            "open_connection open_unix_connection start_server start_unix_server create_connection create_server "
            "create_unix_connection create_unix_server create_datagram_endpoint sock_connect "
            "http.client urllib.request ftplib smtplib".split()
        ),
        {
            "sizewise/client.py": "the only socket that leads out",
            "sizewise/process.py": "the socket pair between us and a child",
            "sizewise/providers/worker.py": "a unix socket to llama.cpp in the same process",
            "sizewise/testing/": "doubles of upstreams listen themselves",
        },
    ),
    "child processes": (
        frozenset(
            "create_subprocess_exec create_subprocess_shell os.system os.popen os.fork os.forkpty os.posix_spawn "
            "os.execv os.execve os.execvp os.execvpe os.execl os.execle os.execlp os.spawnv os.spawnl pty.spawn".split()
        ),
        {"sizewise/process.py": "the only place that starts processes"},
    ),
}


def used(tree: ast.Module) -> Iterator[tuple[ast.AST, str]]:
    """Dotted names as they stand in the code, and modules that are imported."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Name, ast.Attribute)):
            yield node, dotted(node)
        elif isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node, node.module or ""
            yield from ((node, f"{node.module}.{alias.name}") for alias in node.names)


def side_doors(file: Source) -> Iterator[str]:
    for door, (names, places) in DOORS.items():
        if not file.within(*places):
            for node, name in used(file.tree):
                if name in names or name.rpartition(".")[2] in names:
                    yield file.at(node, f"{name} is a side door to {door}: only {', '.join(places)} may use it")


def test_every_way_out_leads_through_its_door() -> None:
    stands(side_doors, "sizewise")


@pytest.mark.parametrize(
    "code",
    [
        "import os\nkey = os.environ['KEY']",
        "from os import environ",
        "os.getenv('KEY')",
        "await asyncio.open_connection(host, 443)",
        "await loop.create_connection(Protocol, host, 443)",
        "from urllib.request import urlopen",
        "import http.client",
        "await asyncio.create_subprocess_exec('sh')",
        "os.system('ls')",
        "from asyncio import create_subprocess_shell",
    ],
)
def test_the_wall_sees_a_side_door(code: str) -> None:
    assert planted(side_doors, code)


def test_reading_a_url_is_no_way_out() -> None:
    assert not planted(side_doors, "from urllib.parse import urlsplit\nurlsplit('http://host')")
