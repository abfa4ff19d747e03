"""Which hosts the `http` nodes of a flow call, and what [hosts.NAME] lacks for them; calls none."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from urllib.parse import SplitResult, urlsplit

from msgspec import Struct

from sizewise.flows.language.flow_spec import NodeSpec
from sizewise.flows.validator import ValidationResult
from sizewise.settings.http_allowlist import HttpHostSettings

Hosts = Mapping[str, HttpHostSettings]
KIND = "http"
FALLBACK_NAME = "api"
_COMMON_LABELS = frozenset({"com", "co", "org", "net", "ac", "gov", "app"})
"""Labels before the last one that do not tell one API from another, as in `example.co.uk`."""


class HostRequirement(Struct, frozen=True):
    """What one node calls. `name`: of the host in the settings, as the node says it or as its `url` is allowed; empty:
    none allows it. `url`: scheme and host; empty: it is not known before the flow runs. `method`: in capital letters.
    """

    node: NodeSpec
    parameter: str
    name: str
    url: str
    method: str
    allowed: bool
    method_allowed: bool = True


def required_hosts(checked: ValidationResult, hosts: Hosts) -> list[HostRequirement]:
    """In file order, of all levels of the flow."""
    drafts = (draft for level in checked.levels for draft in level.drafts)
    found = [_requirement(draft.node, hosts) for draft in drafts if draft.node.kind == KIND]
    return [each for each in found if each is not None]


def _requirement(node: NodeSpec, hosts: Hosts) -> HostRequirement | None:
    """None: the node names no host, which is an error of its own."""
    host, url = node.values.get("host"), node.values.get("url")
    method = str(node.values.get("method") or "GET").upper()
    if isinstance(host, str) and host and "{{" not in host:
        found = hosts.get(host)
        allowed = found is not None and bool(found.url)
        shown = origin_of(urlsplit(found.url)) if found is not None and found.url else ""
        may = found is None or method in found.methods
        return HostRequirement(node, "host", name=host, url=shown, method=method, allowed=allowed, method_allowed=may)
    if not isinstance(url, str) or not url:
        return None
    origin, path = _known_part(url)
    name = _allowing(origin, path, hosts) if origin and "@" not in url.partition("{{")[0] else ""
    may = not name or method in hosts[name].methods
    return HostRequirement(node, "url", name=name, url=origin, method=method, allowed=bool(name), method_allowed=may)


def _known_part(url: str) -> tuple[str, str]:
    """Scheme with host, and path, of what stands before the first placeholder; empty if the host is not whole."""
    said, placeholder, _ = url.partition("{{")
    try:
        parts = urlsplit(said.strip())
    except ValueError:
        return "", ""
    whole = not placeholder or parts.path or parts.query
    return (origin_of(parts), parts.path) if parts.scheme and parts.netloc and whole else ("", "")


def origin_of(parts: SplitResult) -> str:
    """Scheme, host and port, without a user or password."""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2].lower()}"


def _allowing(origin: str, path: str, hosts: Hosts) -> str:
    """The name of a host whose base URL may contain a URL that begins so; empty: there is none."""
    for name, host in hosts.items():
        base = urlsplit(host.url)
        if origin_of(base) == origin and (path.startswith(base.path.rstrip("/")) or base.path.startswith(path)):
            return name
    return ""


def host_name(url: str, taken: Iterable[str] = ()) -> str:
    """A name for [hosts.NAME] made of the domain of `url`, with a number if it is taken."""
    host = urlsplit(url).hostname or ""
    labels = [] if re.fullmatch(r"[0-9.:]*", host) else host.split(".")
    domain = next((each for each in reversed(labels[:-1]) if each not in _COMMON_LABELS), labels[0] if labels else "")
    made = re.sub(r"[^a-z0-9-]+", "-", domain).strip("-") or FALLBACK_NAME
    used = set(taken)
    names = (made, *(f"{made}-{number}" for number in range(2, len(used) + 3)))
    return next(each for each in names if each not in used)


class HostGrant(Struct, frozen=True):
    """A table to add to the settings. `url`: empty where only the name is known."""

    name: str
    url: str
    methods: tuple[str, ...]

    @property
    def settings(self) -> str:
        """As lines of sizewise.toml."""
        url = self.url or "https://..."
        methods = ", ".join(f'"{each}"' for each in self.methods)
        key = f'# key = "env:{re.sub("[^A-Z0-9]", "_", self.name.upper())}_KEY"  # if the API needs one'
        return f'[hosts.{self.name}]\nurl = "{url}"\nmethods = [{methods}]\n{key}\n'


def missing_grants(required: Sequence[HostRequirement], hosts: Hosts) -> list[HostGrant]:
    """Tables that would allow what is not allowed, one for each host."""
    methods: dict[tuple[str, str], dict[str, None]] = {}
    for each in required:
        if not each.allowed and (each.name or each.url):
            methods.setdefault((each.name, each.url), {})[each.method] = None
    grants: list[HostGrant] = []
    for (name, url), used in methods.items():
        taken = {*hosts, *(grant.name for grant in grants)}
        grants.append(HostGrant(name or host_name(url, taken), url, tuple(used)))
    return grants


def unknown_urls(required: Iterable[HostRequirement]) -> Iterator[HostRequirement]:
    """Those whose host is known only when the flow runs."""
    return (each for each in required if not each.allowed and not each.name and not each.url)
