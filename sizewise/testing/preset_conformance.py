"""Conformance suite for provider presets and the requests that they produce; knows no provider by name.

The functions raise nothing: they return the errors, one sentence each.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import date
from types import MappingProxyType
from urllib.parse import urlsplit

from sizewise.settings.provider_presets import URL_VARIABLES, ProviderPreset, url_variables
from sizewise.settings.validators import auth, name, reference, url

VALUES: Mapping[str, str] = MappingProxyType({"account": "acc-1", "region": "eu-central-1", "resource": "res-1"})
"""Values for the placeholders of a URL during a check."""
OLDEST = "2026-01-01"


def base_url(row: ProviderPreset) -> str:
    """The preset's base URL with VALUES filled in."""
    return row.base_url.format_map({each: VALUES.get(each, "unknown") for each in url_variables(row.base_url)})


def preset_errors(name: str, row: ProviderPreset, wires: Collection[str]) -> list[str]:
    """The errors of a preset. `wires`: the known wires."""
    return [f"{name}: {each}" for each in (*_spelt(name, row), *_sourced(row), *_reached(row, wires))]


def _spelt(called: str, row: ProviderPreset) -> Iterator[str]:
    """A preset must pass the validators of a provider's table."""
    checks: list[tuple[str, Callable[[str], str], str]] = [("its name", name, called), ("base_url", url, base_url(row))]
    checks += [("auth", auth, row.auth)] if row.auth else []
    checks += [("key", reference, row.key)] if row.key else []
    for what, check, value in checks:
        try:
            if check(value) != value:
                yield f"{what}: {value!r} is not in its normalized form"
        except ValueError as error:
            yield f"{what}: {error}"
    if strange := set(url_variables(row.base_url)) - set(URL_VARIABLES):
        yield f"base_url: no field fills {sorted(strange)}"
    if row.rename_params.keys() & set(row.drop_params):
        yield "a field is both renamed and removed"


def _sourced(row: ProviderPreset) -> Iterator[str]:
    if len(row.title) < 2 or len(row.source) <= 10:
        yield "the title and the source are too short"
    if not _is_day(row.date) or row.date < OLDEST:
        yield f"date: {row.date!r} is not a date on which the source was read"


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _reached(row: ProviderPreset, wires: Collection[str]) -> Iterator[str]:
    parts = urlsplit(row.base_url)
    if row.local and (parts.scheme, parts.hostname, row.key) != ("http", "127.0.0.1", ""):
        yield "a self-hosted server must be on this machine and have no default key"
    if not row.local and (parts.scheme != "https" or not row.key.startswith("env:")):
        yield "a cloud provider needs TLS and a key from the environment"
    if row.wire not in wires:
        yield f"wire: there is no {row.wire!r}"


def request_differences(row: ProviderPreset, key: str, path: str, request: bytes) -> list[str]:
    """How a request to POST `path` differs from the preset: target, key, headers, body fields."""
    head, _, body = request.partition(b"\r\n\r\n")
    line, *lines = head.decode("latin-1").split("\r\n")
    headers = [(each.lower(), value) for each, _, value in (line.partition(": ") for line in lines)]
    parts, found = urlsplit(base_url(row)), list[str]()
    if line != f"POST {parts.path}{path} HTTP/1.1":
        found.append(f"the request starts with {line!r}")
    if len(headers) != len(dict(headers)):
        found.append("a header occurs twice")
    if dict(headers).get("content-type") != "application/json" or dict(headers).get("content-length") != str(len(body)):
        found.append("the body is not declared as JSON of its length")
    name, value = ("authorization", f"Bearer {key}") if row.auth in ("", "bearer") else (row.auth.lower(), key)
    carried = [(each, said) for each, said in headers if key in said]
    if carried != ([(name, value)] if row.key else []):
        found.append(f"the key is in {[each for each, _ in carried]}")
    found += [
        f"the body has `{ours}`" for ours in (*row.rename_params, *row.drop_params) if f'"{ours}"'.encode() in body
    ]
    return found
