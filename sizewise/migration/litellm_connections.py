"""Reads where requests of an entry of `model_list` go: address, key by reference, headers, timeouts. Opens nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from sizewise.migration.litellm_providers import ProviderRow, Target
from sizewise.migration.litellm_values import (
    fits,
    looked_up,
    names_secret,
    number,
    reference,
    slug,
    stands_for_no_key,
)
from sizewise.migration.migration_report import ConfigNode, MigrationReport
from sizewise.settings.provider_presets import ProviderPreset
from sizewise.settings.validators import header, url, url_segment

NO_URL = "its address is not a URL such as 'https://host/v1', without a password or a query"
_HEADER = re.compile(r"[A-Za-z0-9-]+")
_ARN_REGION = re.compile(r"\barn:aws:[a-z]+:([a-z0-9-]+):")
_SELF = ("", "localhost", "127.0.0.1", "0.0.0.0", "::1")


@dataclass(frozen=True, slots=True)
class Connection:
    """Keys of a [providers.NAME] table. Replicas have all but `base_url`, `resource` and `key` in common."""

    preset: str
    base_url: str = ""
    key: str = ""
    region: str = ""
    resource: str = ""
    account: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    timeouts: tuple[tuple[str, float], ...] = ()
    drop_params: tuple[str, ...] = ()
    is_local: bool = False


class ConnectionReader:
    """`environ`: for addresses and regions, never for keys."""

    def __init__(
        self, report: MigrationReport, presets: Mapping[str, ProviderPreset], environ: Mapping[str, str]
    ) -> None:
        self._report, self._environ = report, environ
        self._preset_keys = {name: preset.key for name, preset in presets.items()}
        self._literal_keys = dict[str, str]()  # key -> variable

    def read(self, entry: ConfigNode, params: ConfigNode, target: Target) -> Connection | None:
        """None if the address is not known; the report says why."""
        report, row = self._report, target.row
        given = params.get("api_base") or params.get("base_url")
        address = looked_up(given.value, self._environ) if given else self._environ.get(row.address, "")
        if given is not None and not address:
            variable = reference(given.value).removeprefix("env:") or "api_base"
            report.refused(entry, f"its address is not known: set {variable}, and import again")
            return None
        if address and not fits(url, address):
            report.refused(entry, NO_URL)
            return None
        if address and row.only_host and urlsplit(address).hostname != row.only_host:
            report.refused(
                entry, f"{target.prefix!r} is asked at {row.only_host} alone: elsewhere it has an API of its own"
            )
            return None
        placed = self._placed(address.rstrip("/"), params, row)
        if placed is None:
            elsewhere = row.elsewhere or f"its address is none of {target.prefix!r}"
            unknown = f"its address is not known: add `api_base`, which {target.prefix!r} needs"
            report.refused(entry, elsewhere if address else unknown)
            return None
        for name, instead in row.instead.items():
            report.changed(params.get(name), instead)
        key = self._key(params, placed.preset, target)
        where = "[providers] resource" if placed.resource else "[providers] base_url"
        usual = params.get("api_key") is None and key.removeprefix("env:")
        report.carried(given, f"{where}; asked with {usual}, as LiteLLM does" if usual else where)
        headers, timeouts, drops = self._headers(params, row), self._timeouts(params), self._drop_params(params)
        return replace(placed, key=key, headers=headers, timeouts=timeouts, drop_params=drops)

    def _placed(self, address: str, params: ConfigNode, row: ProviderRow) -> Connection | None:
        """With what the address needs; None if it is not known."""
        host = urlsplit(address).hostname or ""
        if row.host is not None:
            named = re.fullmatch(row.host.pattern, host)
            if named and row.host.is_ == "resource":
                return Connection(row.preset, resource=named[1])
            if named:
                return Connection(row.preset, region=named[1])
            is_other = row.other_hosts and re.fullmatch(row.other_hosts, host)
            return Connection(row.preset, f"https://{host}{row.path}") if is_other else None
        if row.account and not address:
            account = self._environ.get(row.account, "")
            return Connection(row.preset, account=account) if account and fits(url_segment, account) else None
        address = "" if row.only_host else address
        base_url = address.removesuffix("/messages").removesuffix(row.ends) + row.ends if address else row.base_url
        if not base_url and not row.preset:
            return None
        preset = row.preset if not row.own_url or base_url in ("", row.own_url) else ""
        is_local = row.local and host in _SELF
        region = "" if row.region is None or base_url else self._region(params, row)
        return Connection(preset, base_url, region=region, is_local=is_local)

    def _region(self, params: ConfigNode, row: ProviderRow) -> str:
        if row.region is None:
            return ""
        given, arn = params.get(row.region.param), _ARN_REGION.search(params.text("model"))
        named = looked_up(given.value, self._environ) if given else ""
        if named and fits(url_segment, named):
            self._report.carried(given, "[providers] region")
        else:
            self._report.refused(given, "no name of a region")
        found = [named, arn[1] if arn else "", *(self._environ.get(name, "") for name in row.region.variables)]
        return next((each for each in found if each and fits(url_segment, each)), row.region.default)

    def _key(self, params: ConfigNode, preset: str, target: Target) -> str:
        """By reference; empty: the preset's. A key in the file gets a variable, and is never repeated."""
        given = params.get("api_key")
        if given is None:
            usual = "" if preset else self._preset_keys.get(target.row.preset, "")
            return f"env:{target.row.key}" if target.row.key else usual
        if found := reference(given.value):
            self._report.carried(given, f"[providers] key = {found!r}")
            return "" if found == self._preset_keys.get(preset) else found
        if not isinstance(given.value, str) or not given.value.strip() or stands_for_no_key(given.value):
            self._report.carried(given, "no key")
            return ""
        name = f"{slug(target.prefix).upper().replace('-', '_')}_KEY_{len(self._literal_keys) + 1}"
        variable = self._literal_keys.setdefault(given.value, name)
        self._report.changed(given, f"settings never contain a key: export it as {variable}")
        return f"env:{variable}"

    def _headers(self, params: ConfigNode, row: ProviderRow) -> tuple[tuple[str, str], ...]:
        found = []
        given = params.get("extra_headers")
        for name, node in given.fields() if given else ():
            plain = node.value if isinstance(node.value, str) and not names_secret(name) else ""
            text = reference(node.value) or plain
            if text and fits(header, text) and _HEADER.fullmatch(name):
                found.append((name, text))
                self._report.carried(node, "[providers] headers")
            else:
                self._report.refused(node, "no header; a secret one is given by reference: os.environ/NAME")
        if row.organization and (organization := params.get("organization")):
            text = reference(organization.value) or str(organization.value)
            if fits(header, text):
                found.append((row.organization, text))
                self._report.carried(organization, "[providers] headers")
        return tuple(found)

    def _drop_params(self, params: ConfigNode) -> tuple[str, ...]:
        given = params.get("additional_drop_params")
        found = dict[str, None]()
        for node in given.items() if given else ():
            if isinstance(node.value, str) and re.fullmatch(r"[a-z_]+", node.value):
                found[node.value] = None
                self._report.carried(node, "[providers] drop_params")
            else:
                self._report.refused(node, "only whole parameters are dropped, by their name")
        return tuple(found)

    def _timeouts(self, params: ConfigNode) -> tuple[tuple[str, float], ...]:
        found = []
        for key, ours in (("timeout", "total_s"), ("stream_timeout", "first_byte_s")):
            if (node := params.get(key)) is None:
                continue
            seconds = float(number(node.value) or 0)
            if 0.001 <= seconds <= 3_600:
                found.append((ours, seconds))
                self._report.carried(node, f"[providers] timeouts.{ours}")
            else:
                self._report.refused(node, "not a number of seconds from 0.001 to 3600")
        return tuple(found)
