"""One caller each for the environment, sockets and child processes: names, which import-linter does not see."""

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
            "sizewise/http/dialer.py": "the only outgoing connections",
            "sizewise/process.py": "the socket pair between us and a child",
            "sizewise/providers/local/llamacpp_worker.py": "a unix socket to llama.cpp in the same process",
            "sizewise/providers/local/embedding_worker.py": "the socket to its parent process",
            "sizewise/offload/ray_driver.py": "the same, and whether the Ray cluster of [jobs] is there",
            "sizewise/notifications/mail_sender.py": "mail by smtplib, after a check of the egress policy",
            "sizewise/ipc/": "Unix sockets between our own processes",
            "sizewise/testing/": "doubles of upstreams listen themselves",
        },
    ),
    "child processes": (
        CHILDREN,
        {
            "sizewise/process.py": "the only place that starts programs",
            "sizewise/workers/forking.py": "forks the processes of a server",
        },
    ),
}

HARMLESS = frozenset({"urllib.request.url2pathname"})
"""Opens nothing, although its module does."""


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


def is_restricted(name: str, restricted: str) -> bool:
    """Whether a dotted name is one of the restricted names, or below one."""
    for each in restricted.split():
        if name == each or name.startswith(f"{each}.") or ("." not in each and name.endswith(f".{each}")):
            return name not in HARMLESS
    return False


def other_callers(file: Source) -> Iterator[str]:
    for resource, (names, places) in RESTRICTIONS.items():
        if not file.within(*places):
            for node, name in used(file.tree):
                if is_restricted(name, names):
                    yield file.at(node, f"{name} uses {resource}: only {', '.join(places)} may")


def test_environment_sockets_and_processes_have_one_caller_each() -> None:
    stands(other_callers, "sizewise")


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
def test_the_wall_sees_another_caller(code: str) -> None:
    assert planted(other_callers, code)


def test_parsing_a_url_is_not_restricted() -> None:
    assert not planted(other_callers, "from urllib.request import url2pathname")
    assert not planted(other_callers, "from urllib.parse import urlsplit\nurlsplit('http://host')")
