"""Settings of git: the repository whose commits become releases, and where flows are published; fetches nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from sizewise.data_class import Place
from sizewise.settings.toml_reader import setting
from sizewise.settings.validators import reference

LOOPBACK = r"(?:localhost|127\.0\.0\.1|\[::1\])"
HOST = r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?"
REST = r"(?::[1-9][0-9]{0,4})?/[A-Za-z0-9~][A-Za-z0-9._~/-]{0,500}"
URL = re.compile(rf"(?:https://{HOST}|ssh://(?:[A-Za-z0-9_][A-Za-z0-9_.-]{{0,63}}@)?{HOST}|http://{LOOPBACK}){REST}")
BRANCH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/-]{0,199}")
PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._ /-]{0,199}")
API = re.compile(rf"(?:https://{HOST}|http://{LOOPBACK})(?::[1-9][0-9]{{0,4}})?(?:/[A-Za-z0-9._~/-]{{0,500}})?")
MAX_MB = 10_000

HostKind = Literal["auto", "none", "github", "gitea", "gitlab"]
"""`gitea` is also Forgejo."""


def git_url(text: str) -> str:
    """https or ssh; plain http on this machine alone. Neither a password nor another transport of git (`ext::`)."""
    if text and not URL.fullmatch(text):
        raise ValueError(
            "is not 'https://host/path' or 'ssh://user@host/path', without a password; the token is `token`"
        )
    return text


def git_api(text: str) -> str:
    if text and not API.fullmatch(text):
        raise ValueError("is not 'https://host/path'")
    return text


def git_branch(text: str) -> str:
    if not BRANCH.fullmatch(text) or ".." in text or "//" in text or text.endswith((".", "/", ".lock")):
        raise ValueError(f"{text[:60]!r} is not the name of a branch")
    return text


def git_path(text: str) -> str:
    if text and (not PATH.fullmatch(text) or {"", ".", ".."} & set(text.split("/"))):
        raise ValueError(f"{text[:60]!r} is not a folder in the repository, as 'services/assistant'")
    return text


def optional_reference(text: str) -> str:
    return reference(text) if text else ""


@dataclass(frozen=True, slots=True)
class GitSettings:
    """The repository whose commits become releases, and to which publishing a flow commits. Nothing becomes live by it.
    Changes need a restart.
    """

    url: str = setting("", "Repository, by https or ssh. Empty: none.", validator=git_url)
    branch: str = setting("main", "", validator=git_branch)
    path: str = setting(
        "", "Folder in the repository with sizewise.toml, flows and prompts. Empty: its top.", validator=git_path
    )
    token: str = setting("", "Reference to an access token, for https.", validator=optional_reference)
    webhook_secret: str = setting(
        "",
        "Reference to the secret of the repository's webhook: POST /hooks/git has the server look at once.",
        validator=optional_reference,
    )
    host: HostKind = setting(
        "auto",
        "Where publishing opens a pull request, with the token: github, gitea (also Forgejo), gitlab, or none. auto: "
        "by the name of the host, for github.com, gitlab.com and codeberg.org.",
    )
    api: str = setting("", "URL of the host's API. Empty: where such hosts have it.", validator=git_api)
    place: Place = setting("anyone", "Where the server of the repository runs.")
    poll_s: float = setting(60.0, "Seconds between two looks at the branch.", minimum=1, maximum=86_400)
    max_mb: int = setting(
        200, "Size of a fetch and of a commit's files, in MB; larger is refused.", minimum=1, maximum=MAX_MB
    )
