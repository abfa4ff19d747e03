"""Settings of the HTTP APIs that flows are allowed to call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sizewise.data_class import Place
from sizewise.settings.toml_reader import setting
from sizewise.settings.validators import auth, header, name, reference, url


@dataclass(frozen=True, slots=True)
class HttpHostSettings:
    """An HTTP API that `http` nodes of flows may call, by name. Flows can call no others and never see the key."""

    url: str = setting(
        "",
        "Base URL, as 'https://host/path'; requests go below it. Redirects are not followed.",
        validator=url,
    )
    place: Place = setting(
        "anyone", "Where the API runs. You declare it; egress must allow the flow's data class there."
    )
    key: str = setting(
        "", "API key by reference, `env:NAME`, `file:PATH` or `exec:COMMAND`.", validator=reference, secret=True
    )
    auth: str = setting("bearer", "How the key is sent: `bearer`, or the name of a header.", validator=auth)
    headers: Mapping[str, str] = setting(MappingProxyType({}), "Additional request headers.", validator=header)
    methods: tuple[str, ...] = setting(("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"), "Allowed HTTP methods.")
    projects: tuple[str, ...] = setting((), "Projects whose flows may call it; empty: all.", validator=name)
    timeout_s: float = setting(30.0, "Timeout of one request in seconds.", minimum=0.1, maximum=3_600)
