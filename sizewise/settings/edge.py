"""Settings of the edge: the Worker that answers near the users, and its way home; deploys nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from sizewise.settings.git import optional_reference
from sizewise.settings.toml_reader import setting
from sizewise.settings.validators import optional_ed25519_key, url

WORKER_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


MACHINE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def worker_name(text: str) -> str:
    if not WORKER_NAME.fullmatch(text):
        raise ValueError(f"{text[:70]!r} is no name of a Worker: up to 63 small letters, digits and '-'")
    return text


def namespace_id(text: str) -> str:
    if text and not re.fullmatch(r"[0-9a-f]{32}", text):
        raise ValueError("is not an ID of 32 hex digits")
    return text


def machine_name(text: str) -> str:
    if text and not MACHINE_NAME.fullmatch(text):
        raise ValueError(f"{text[:100]!r} is no name of a machine: up to 100 letters, digits, '.', '_' and '-'")
    return text


def key_reference(text: str) -> str:
    if text and not re.fullmatch(r"env:[A-Za-z_][A-Za-z0-9_]*|file:.+", text):
        raise ValueError('is not "env:NAME", or "file:PATH" on a small machine')
    return text


def optional_url(text: str) -> str:
    return url(text) if text else ""


@dataclass(frozen=True, slots=True)
class EdgeSettings:
    """A Cloudflare Worker that answers with this project's release: [how](../how-to/edge.md)."""

    name: str = setting("sizewise-edge", "Name of the Worker.", validator=worker_name)
    account: str = setting("", "ID of the account at Cloudflare, 32 hex digits.", validator=namespace_id)
    token: str = setting(
        "",
        "Reference to an API token that may edit Workers, and KV for `sizewise edge key`.",
        validator=optional_reference,
    )
    api: str = setting("https://api.cloudflare.com/client/v4", "URL of Cloudflare's API.", validator=url)
    url: str = setting(
        "",
        "URL at which clients reach the Worker, without a path: `sizewise edge deploy` checks the release there.",
        validator=optional_url,
    )
    keys: str = setting(
        "",
        "ID of the KV namespace at Cloudflare that holds the digests of the keys.",
        validator=namespace_id,
    )
    origin: str = setting(
        "",
        "URL of this server as the Worker reaches it, without a path: it is asked for the models that only it has. "
        "Empty: the Worker stands alone.",
        validator=optional_url,
    )
    key: str = setting(
        "",
        "Reference to an API key of this server with the permission `serve_edge`, which the Worker has as a secret: it "
        "reports what it answered to `origin`. Empty: it keeps no records.",
        validator=key_reference,
    )
    machine: str = setting(
        "",
        "Name under which this server, on a small machine, reports its own records to `origin` with `key`, each once. "
        "Empty: it does not.",
        validator=machine_name,
    )
    release_key: str = setting(
        "",
        "Public key (Ed25519, Base64) of the releases that this machine takes from `origin`: `sizewise edge pack` "
        "writes it. Empty: it takes none.",
        validator=optional_ed25519_key,
    )
    release_environment: str = setting(
        "",
        "Environment of the gateway whose releases this machine takes, written by `sizewise edge join`: a signed "
        "release of another one is refused. Empty: whichever `key` has.",
    )
    unsupported: Literal["refuse", "forward"] = setting(
        "refuse",
        "What the build does with a policy that cannot run at an edge: refuse it by name, or have the Worker forward "
        "its requests to `origin`.",
    )
    requests_per_minute: int = setting(
        0, "Requests per minute of each key at one edge; 0: no limit.", minimum=0, maximum=1_000_000
    )
