"""A Sizewise server for the files of one commit, in a child process: started, asked by a client, and always ended."""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import msgspec
from msgspec import Struct

from sizewise.cli.api_client import ApiClient
from sizewise.errors import ExternalFailure
from sizewise.http.proxies import ProxyConfig
from sizewise.process import start_program
from sizewise.settings.load import Settings, inherited_environment

START_TIMEOUT_S = 120.0
MAX_LINE_BYTES = 65_536
SETTINGS_FILE = "sizewise.toml"
KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "SIZEWISE_CACHE", "XDG_CACHE_HOME", "PYTHONPATH", "VIRTUAL_ENV", "TMPDIR")
"""What the server of a stranger's commit gets of the environment: no key, no token."""
NEVER_PASSED = ("GITHUB_", "ACTIONS_", "RUNNER_", "CI_JOB_TOKEN", "SIZEWISE_URL", "SIZEWISE_KEY")


ABSENT = "absent-in-a-fork"


class _Started(Struct):
    url: str


@asynccontextmanager
async def commit_server(
    folder: Path, home: Path, settings: Settings, *, is_trusted: bool, absent: Sequence[str] = ()
) -> AsyncIterator[ApiClient]:
    """`folder`: with the settings file. `settings`: of the client. `is_trusted`: it may have the environment's secrets.
    `absent`: names of secrets that it starts without.

    Raises ExternalFailure if it does not start.
    """
    key = f"sk-{secrets.token_hex(24)}"
    home.mkdir(parents=True, exist_ok=True)
    file = folder / SETTINGS_FILE
    if not file.exists():
        file.write_text("")
    words = ("-m", "sizewise", "up", "--json", "--port", "0", "--home", str(home), "--config", str(file))
    log = home / "server.log"
    unlisted = {"XDG_STATE_HOME": str(home / "state")}  # no other command finds it
    env = {**dict.fromkeys(absent, ABSENT), **_environment(key, is_trusted=is_trusted), **unlisted}
    program = await start_program((sys.executable, *words), env, MAX_LINE_BYTES, log)
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            line = await program.reader.readline()
        if not line:
            said = log.read_text("utf-8", "replace").strip().splitlines()
            why = said[0] if said else "it wrote nothing"
            raise ExternalFailure(f"the server of {folder.name} did not start: {why[:300]}", "check its settings")
        yield ApiClient(
            msgspec.json.decode(line, type=_Started).url, key, replace(settings, proxies=ProxyConfig()), remote=True
        )
    except TimeoutError as error:
        raise ExternalFailure(f"the server of {folder.name} did not start in time", "check its settings") from error
    finally:
        await program.terminate()


def _environment(key: str, *, is_trusted: bool) -> dict[str, str]:
    kept = inherited_environment(lambda name: not name.startswith(NEVER_PASSED) if is_trusted else name in KEPT)
    return {**kept, "SIZEWISE_KEY": key, "PYTHONUNBUFFERED": "1"}
