"""Doors that import-linter cannot see, for they are names and not modules: environment, sockets, child processes."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

import pytest

from tests.walls.source import Source, dotted, planted, stands

SOCKETS = """
    open_connection open_unix_connection start_server start_unix_server create_connection create_server
    create_unix_connection create_unix_server create_datagram_endpoint sock_connect
    http.client urllib.request ftplib smtplib
"""
CHILDREN = """
    create_subprocess_exec create_subprocess_shell os.system os.popen os.fork os.forkpty os.posix_spawn pty.spawn
    os.execv os.execve os.execvp os.execvpe os.execl os.execle os.execlp os.spawnv os.spawnl
"""

RestrictedNames = tuple[str, Mapping[str, str]]
"""Names (a dotted one with all below it, another as the last part of any), and where they may be used and why."""

RESTRICTIONS: Mapping[str, RestrictedNames] = {
    "the environment": (
        "os.environ os.getenv os.environb os.putenv envvar auto_envvar_prefix",
        {
            "sizewise/settings/load.py": "the only reader",
            "sizewise/providers/local/llamacpp_worker.py": (
                "sets what llama.cpp's threads read, in its own process; reads nothing"
            ),
        },
    ),
    "sockets": (
        SOCKETS,
        {
            "sizewise/http/dialer.py": "the only sockets that lead out",
            "sizewise/process.py": "the socket pair between us and a child",
            "sizewise/providers/local/llamacpp_worker.py": "a unix socket to llama.cpp in the same process",
            "sizewise/providers/local/embedding_worker.py": "the end of the line to its parent",
            "sizewise/testing/": "doubles of upstreams listen themselves",
        },
    ),
    "child processes": (CHILDREN, {"sizewise/process.py": "the only place that starts processes"}),
}

HARMLESS = frozenset({"urllib.request.url2pathname"})
"""Opens nothing, though it lives beside what does."""


def used(tree: ast.Module) -> Iterator[tuple[ast.AST, str]]:
    """Dotted names as they stand in the code, and what is imported."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Name, ast.Attribute)):
            yield node, dotted(node)
        elif isinstance(node, ast.keyword):
            yield node, node.arg or ""  # click reads the environment for an option with `envvar=`
        elif isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node, f"{node.module}.{alias.name}") for alias in node.names)


def leads(name: str, restricted: str) -> bool:
    """Whether a dotted name leads through one of the door's names."""
    for each in restricted.split():
        if name == each or name.startswith(f"{each}.") or ("." not in each and name.endswith(f".{each}")):
            return name not in HARMLESS
    return False


def side_doors(file: Source) -> Iterator[str]:
    for door, (names, places) in RESTRICTIONS.items():
        if not file.within(*places):
            for node, name in used(file.tree):
                if leads(name, names):
                    yield file.at(node, f"{name} is a side door to {door}: only {', '.join(places)} may use it")


def test_every_way_out_leads_through_its_door() -> None:
    stands(side_doors, "sizewise")


@pytest.mark.parametrize(
    "code",
    [
        "import os\nkey = os.environ['KEY']",
        "from os import environ",
        "os.getenv('KEY')",
        "click.option('--key', envvar='KEY')",
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
    assert not planted(side_doors, "from urllib.request import url2pathname")
    assert not planted(side_doors, "from urllib.parse import urlsplit\nurlsplit('http://host')")
