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
    """An HTTP API that `http` nodes of flows may ask, by its name. Flows reach nothing else, and never see its key."""

    url: str = setting(
        "",
        "Where it is, as 'https://host/path'; what is asked lies below. No redirect is followed.",
        validator=url,
    )
    place: Place = setting("anyone", "Where it runs. Declared by you; a flow's data must be allowed to reach it.")
    key: str = setting("", "By reference, `env:NAME` or `file:PATH`.", validator=reference, secret=True)
    auth: str = setting("bearer", "How the key is sent: bearer, or the name of a header.", validator=auth)
    headers: Mapping[str, str] = setting(MappingProxyType({}), "More headers.", validator=header)
    methods: tuple[str, ...] = setting(("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"), "What may be done there.")
    projects: tuple[str, ...] = setting((), "Projects whose flows may ask it; empty: all.", validator=name)
    timeout_s: float = setting(30.0, "Seconds that one request may take.", minimum=0.1, maximum=3_600)
