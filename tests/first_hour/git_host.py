"""A host of git repositories by https, as git's own program serves them: whatever repository is asked for is there."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit


def answer(
    root: Path, method: str, target: str, headers: Mapping[str, str], body: bytes
) -> tuple[int, list[tuple[str, str]], bytes]:
    """Status, headers and body of a request whose path has a folder `NAME.git`; empty until somebody pushes."""
    parts = urlsplit(target)
    repository = root / parts.path.lstrip("/").partition(".git/")[0].replace("/", "-")
    if not repository.exists():
        subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(repository)], check=True)
        subprocess.run(["git", "-C", str(repository), "config", "http.receivepack", "true"], check=True)
    lower = {name.lower(): value for name, value in headers.items()}
    asked = {
        "GIT_PROJECT_ROOT": str(repository),
        "GIT_HTTP_EXPORT_ALL": "1",
        "REMOTE_USER": "reader",
        "REQUEST_METHOD": method,
        "PATH_INFO": f"/{parts.path.partition('.git/')[2]}",
        "QUERY_STRING": parts.query,
        "CONTENT_TYPE": lower.get("content-type", ""),
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_CONTENT_ENCODING": lower.get("content-encoding", ""),
        "GIT_PROTOCOL": lower.get("git-protocol", ""),
    }
    done = subprocess.run(["git", "http-backend"], input=body, capture_output=True, env={**os.environ, **asked})
    head, _, rest = done.stdout.partition(b"\r\n\r\n")
    named = [(name, value.strip()) for name, _, value in (line.partition(":") for line in head.decode().splitlines())]
    status = next((int(value.split()[0]) for name, value in named if name == "Status"), 200)
    return status, [each for each in named if each[0] != "Status"], rest
