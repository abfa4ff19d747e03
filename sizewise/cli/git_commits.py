"""Commits of a git repository, each checked out in a folder of its own; changes nothing in the user's repository.

The content of a commit may be a stranger's: no hook runs, no submodule is fetched, and a symbolic link is a text file.
"""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from sizewise.errors import BadRequest, ExternalFailure
from sizewise.process import CompletedProcess, run

GIT_TIMEOUT_S = 120.0
SAFE: tuple[str, ...] = (
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "core.symlinks=false"),
    *("-c", "core.fsmonitor=false"),
    *("-c", "protocol.allow=never"),
    *("-c", "protocol.file.allow=always"),
    *("-c", "submodule.recurse=false"),
)
SHORT = 10
"""Digits of a commit id that are shown."""


class Commit(Struct, frozen=True):
    """`folder`: its files."""

    id: str
    folder: Path

    @property
    def short(self) -> str:
        return self.id[:SHORT]


async def resolve_commit(repository: Path, name: str) -> str:
    """The id of a branch, tag or commit. Raises BadRequest."""
    if name.startswith("-"):
        raise BadRequest(f"{name!r} names no commit", "name a branch, a tag or a commit")
    found = await _git(repository, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    if found.exit_code != 0:
        hint = "fetch it first, whole: in GitHub Actions, `fetch-depth: 0` of actions/checkout"
        raise BadRequest(f"there is no commit {name!r} in {str(repository)!r}", hint)
    return found.stdout.strip()


async def merge_base(repository: Path, base: str, head: str) -> str:
    """The commit from which `head` began. Raises BadRequest if there is none."""
    found = await _git(repository, "merge-base", base, head)
    if found.exit_code != 0:
        hint = "fetch the whole history: in GitHub Actions, `fetch-depth: 0` of actions/checkout"
        raise BadRequest(f"{base[:SHORT]} and {head[:SHORT]} have no commit in common here", hint)
    return found.stdout.strip()


async def check_out(repository: Path, id: str, folder: Path) -> Commit:
    """Into `folder`, which must not exist. Raises ExternalFailure."""
    source = await _git(repository, "rev-parse", "--path-format=absolute", "--git-common-dir")
    clone = ("clone", "--quiet", "--no-checkout", "--shared", "--template=", "--", source.stdout.strip(), str(folder))
    made = await run(("git", *SAFE, *clone), GIT_TIMEOUT_S)
    if made.exit_code == 0:
        made = await _git(folder, "checkout", "--quiet", "--detach", id)
    if made.exit_code != 0:
        raise ExternalFailure(f"git cannot check out {id[:SHORT]}: {made.stderr.strip()[:300]}", "see git's message")
    return Commit(id, folder)


async def top_folder(inside: Path) -> Path:
    """The folder of the repository around `inside`. Raises BadRequest."""
    found = await _git(inside, "rev-parse", "--show-toplevel")
    if found.exit_code != 0:
        raise BadRequest(f"{str(inside)!r} is in no git repository", "run it in a clone of the repository")
    return Path(found.stdout.strip())


async def _git(folder: Path, *words: str) -> CompletedProcess:
    """Raises ExternalFailure if git is not there."""
    return await run(("git", "-C", str(folder), *SAFE, *words), GIT_TIMEOUT_S)
