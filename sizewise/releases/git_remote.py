"""The repository of [git]: its address, how git reaches it, and whether egress allows that; starts no process."""

from __future__ import annotations

import base64
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import Struct

from sizewise.http.egress import DEFAULT_PORTS, EgressPolicy, origin
from sizewise.settings.load import Settings


class GitRemote(Struct, frozen=True):
    """`url` and `branch` are checked by the settings. `max_mb`: of a fetch, and of a commit's files. `proxy`: of https,
    with its password; `ca_file`: in place of the system's.
    """

    url: str
    branch: str
    path: str
    max_mb: int
    proxy: str = ""
    ca_file: Path | None = None


def remote_of(settings: Settings) -> GitRemote:
    git, parts = settings.git, urlsplit(settings.git.url)
    proxy = ""
    if parts.scheme in DEFAULT_PORTS:
        port = parts.port or int(DEFAULT_PORTS[parts.scheme])
        proxy = settings.proxies.proxy_for(parts.scheme, parts.hostname or "", port)
    return GitRemote(
        url=git.url, branch=git.branch, path=git.path, max_mb=git.max_mb, proxy=proxy, ca_file=settings.ca_file
    )


def secret_config(remote: GitRemote, token: str) -> dict[str, str]:
    """A header for this server alone, and the proxy, in the environment: arguments are seen by every user of the
    machine.
    """
    parts = urlsplit(remote.url)
    if parts.scheme == "ssh":
        return {}
    config = {"http.proxy": remote.proxy}
    if remote.ca_file is not None:
        config["http.sslCAInfo"] = str(remote.ca_file)
    if token:
        basic = base64.b64encode(f"x-access-token:{token}".encode()).decode()
        config[f"http.{parts.scheme}://{parts.netloc}/.extraHeader"] = f"Authorization: Basic {basic}"
    numbered = enumerate(config.items())
    named = {
        f"GIT_CONFIG_{what}_{at}": word
        for at, pair in numbered
        for what, word in zip(("KEY", "VALUE"), pair, strict=True)
    }
    return {"GIT_CONFIG_COUNT": str(len(config)), **named}


def check_egress(settings: Settings) -> None:
    """What is sent counts as public: address, token, and what a person publishes there. Raises EgressDenied."""
    parts = urlsplit(settings.git.url)
    where = f"{'https' if parts.scheme == 'ssh' else parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    egress = EgressPolicy({where: settings.git.place}, {"public": settings.egress.public})
    egress.check(origin(where, DEFAULT_PORTS), purpose="git", data_class="public")
