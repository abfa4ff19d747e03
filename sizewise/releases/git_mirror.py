"""Mirror of one branch of a git repository that may be hostile: fetches, checks and writes out the files of a commit.

The system's git runs with no configuration but this: no hook, submodule, prompt, helper or redirect, and one protocol.
A commit with a symbolic link, a submodule, or more or larger files than allowed is refused before a file is written.
The token is in git's environment and in no argument, log or message.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from urllib.parse import urlsplit

from sizewise.catalog.file_lock import file_lock
from sizewise.errors import BadRequest, ExternalFailure
from sizewise.process import CompletedProcess, run
from sizewise.releases.git_remote import GitRemote, secret_config
from sizewise.settings.load import inherited_environment

TIMEOUT_S = 300.0
MEGABYTE = 1_000_000
MAX_FILES = 10_000
MAX_LISTING_BYTES = MAX_FILES * 400
MAX_MESSAGE_BYTES = 1_000_000
REBUILD_FACTOR = 3
"""Times `max_mb` that a mirror may have."""
BLOCK_BYTES = 512
"""Of `ulimit -f`, by POSIX."""
MEMORY_KB = 2_000_000
REF = "refs/sizewise/head"
ASKED_REF = "refs/sizewise/asked"
COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
TOO_LARGE = re.compile("died of signal|File too large|[Oo]ut of memory")
"""What git says where a limit stops it or one of its children."""
LINK, SUBMODULE = "120000", "160000"
HEADS = "refs/heads/"
LIMITED = 'ulimit -f "$0"; ulimit -v "$1"; shift; exec git "$@"'
"""Files and memory of git and all that it starts: a repository can be small as sent and large as unpacked."""
CONFIG: tuple[str, ...] = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.bigFileThreshold=1m",  # larger blobs are streamed, not held
    "credential.helper=",
    "fetch.recurseSubmodules=false",
    "gc.auto=0",
    "http.followRedirects=false",
    "submodule.recurse=false",
    "transfer.bundleURI=false",
    "transfer.fsckObjects=true",
)
OURS = frozenset({"PATH", "HOME"})
"""Variables that git inherits: in HOME ssh finds its keys and the hosts that it knows."""
SSH = "ssh -o BatchMode=yes -o ForwardAgent=no -o ClearAllForwardings=yes -o PermitLocalCommand=no"


class GitMirror:
    """`folder`: of its own, made when it is needed, and never a checkout of the user's."""

    def __init__(self, folder: Path, remote: GitRemote) -> None:
        self.folder, self.remote = folder, remote
        self._git_dir = folder / "mirror.git"

    def alone(self) -> AbstractAsyncContextManager[None]:
        """For who fetches and reads on: refs are shared, also with other processes of this server."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return file_lock(self.folder / "lock")

    async def fetch(self, token: str = "", asked: str = "") -> str:
        """The id of the branch's last commit. `asked`: another branch, or the whole id of a commit. Raises
        ExternalFailure.
        """
        await self._create()
        named, kept = asked or self.remote.branch, ASKED_REF if asked else REF
        ref = f"+{asked if COMMIT.fullmatch(asked) else HEADS + named}:{kept}"
        words = ("fetch", "--quiet", "--depth=1", "--no-tags", "--no-write-fetch-head", "--", self.remote.url, ref)
        done = await self.git(*words, token=token)
        if done.exit_code and TOO_LARGE.search(done.stderr):
            shutil.rmtree(self._git_dir, ignore_errors=True)
            raise ExternalFailure(
                f"{named!r} is larger than {self.remote.max_mb} MB, or needs too much memory",
                "set `max_mb` in [git], or keep large files out of the repository",
            )
        if done.exit_code:
            raise ExternalFailure(
                f"git cannot fetch {named!r}: {reason(done.stderr)}",
                "check url, branch and token in [git]",
            )
        return (await self.read("rev-parse", "--verify", "--end-of-options", f"{kept}^{{commit}}")).strip()

    async def message(self, commit: str) -> str:
        return await self.read("log", "-1", "--format=%B", "--end-of-options", commit, limit=MAX_MESSAGE_BYTES)

    async def write_out(self, commit: str, folder: Path) -> None:
        """The files of the path, into `folder`, which is empty. Raises BadRequest, with the reason, for a commit that
        is refused.
        """
        tree = f"{commit}:{self.remote.path}"
        try:
            listed = await self.read("ls-tree", "-r", "-z", "--long", "--end-of-options", tree, limit=MAX_LISTING_BYTES)
        except _TooMuch as error:
            raise _refused(commit, f"it has more than {MAX_FILES} files", "set `path` in [git]") from error
        entries = listed.split("\0")[:-1]
        if len(entries) > MAX_FILES:
            raise _refused(commit, f"it has more than {MAX_FILES} files", "set `path` in [git]")
        size = 0
        for entry in entries:
            about, _, path = entry.partition("\t")
            mode, _, _, bytes_ = about.split()
            if mode == LINK:
                raise _refused(commit, f"{path[:200]!r} is a symbolic link", "put the file itself there")
            if mode == SUBMODULE:
                raise _refused(commit, f"{path[:200]!r} is a submodule", "put its files there")
            size += int(bytes_)
            if size > self.remote.max_mb * MEGABYTE:
                raise _refused(commit, f"its files have more than {self.remote.max_mb} MB", "set `max_mb` in [git]")
        index = self.folder / "index"
        index.unlink(missing_ok=True)
        own = {"GIT_INDEX_FILE": str(index)}
        for words in (("read-tree", tree), (f"--work-tree={folder}", "checkout-index", "--all", "--force")):
            done = await self.git(*words, more=own)
            if done.exit_code:
                raise ExternalFailure(f"git cannot write out {commit[:10]}: {reason(done.stderr)}", "see its message")

    async def _create(self) -> None:
        """Anew where old commits have grown it: git keeps what no branch needs any more."""
        if await asyncio.to_thread(_bytes_below, self._git_dir) > REBUILD_FACTOR * self.remote.max_mb * MEGABYTE:
            await asyncio.to_thread(shutil.rmtree, self._git_dir)
        if (self._git_dir / "HEAD").is_file():
            return
        done = await self.git("init", "--quiet", "--bare", "--template=", str(self._git_dir))
        if done.exit_code:
            raise ExternalFailure(f"git cannot make a mirror: {reason(done.stderr)}", "check the home folder")

    async def read(self, *words: str, limit: int = 4096) -> str:
        """Raises BadRequest if git refuses, such as for a path that the commit does not have."""
        done = await self.git(*words, limit=limit)
        if done.exit_code:
            raise BadRequest(f"git: {reason(done.stderr)}", "check `path` in [git]")
        return done.stdout

    async def git(
        self, *words: str, token: str = "", more: dict[str, str] | None = None, limit: int = 1_000_000
    ) -> CompletedProcess:
        blocks = str(self.remote.max_mb * MEGABYTE // BLOCK_BYTES)
        config = [word for each in CONFIG for word in ("-c", each)]
        place = ("--git-dir", str(self._git_dir))
        argv = ("sh", "-c", LIMITED, blocks, str(MEMORY_KB), *config, *place, *words)
        env = {**self._environment(), **secret_config(self.remote, token), **(more or {})}
        try:
            return await run(argv, TIMEOUT_S, env, limit)
        except ExternalFailure as error:
            if "wrote more than" in error.message:
                raise _TooMuch("git", "see its message") from error
            raise ExternalFailure(
                f"git did not end within {TIMEOUT_S:g} s", "check the network and url in [git]"
            ) from error

    def _environment(self) -> dict[str, str]:
        return {
            **inherited_environment(OURS.__contains__),
            "LC_ALL": "C",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ALLOW_PROTOCOL": urlsplit(self.remote.url).scheme,
            "GIT_SSH_COMMAND": SSH,
        }


class _TooMuch(ExternalFailure):
    """Git wrote more than was allowed."""


def _bytes_below(folder: Path) -> int:
    return sum(each.stat().st_size for each in folder.rglob("*") if each.is_file())


def _refused(commit: str, why: str, hint: str) -> BadRequest:
    return BadRequest(f"the commit {commit[:10]} is refused: {why}", hint)


def reason(stderr: str) -> str:
    """Git's last error, which says more than the failure of the whole that follows it."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("error:")]
    said = (errors or lines or ["no message"])[-1]
    return "".join(each if each.isprintable() else " " for each in said)[:300]
