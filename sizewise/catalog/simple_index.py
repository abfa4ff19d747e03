"""Parses a package index page (PEP 503 and PEP 691) and picks a wheel; opens no connection.

It reads JSON (PEP 691) or HTML (PEP 503), by media type. A page is trusted for addresses only: the caller verifies the
downloaded file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from types import MappingProxyType
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

import msgspec

JSON = "application/vnd.pypi.simple.v1+json"
HTML = ("text/html", "application/vnd.pypi.simple.v1+html")
ACCEPT = f"{JSON}, {HTML[1]};q=0.2, {HTML[0]};q=0.1"


@dataclass(frozen=True, slots=True)
class Wheel:
    """URL of a wheel (https://, http:// or file://) and its sha256, "" if the index has none."""

    url: str
    sha256: str


class SimpleIndexFile(msgspec.Struct, frozen=True):
    """The fields that are read of a file in a JSON page."""

    filename: str
    url: str
    hashes: Mapping[str, str] = MappingProxyType({})


class SimpleIndexPage(msgspec.Struct, frozen=True):
    files: tuple[SimpleIndexFile, ...]


def find_wheel(page: bytes, media_type: str, url: str, requirement: str) -> Wheel | None:
    """The wheel of `name==version`, or None. `media_type`: that of the page; `url`: its address.

    Raises ValueError if it is not an index page.
    """
    if media_type == JSON:
        files = _in_json(page, url)
    elif media_type in HTML:
        files = _in_html(page, url)
    else:
        raise ValueError(f"{media_type!r} is not a package index page")
    fitting = (wheel for filename, wheel in files if matches_requirement(filename, requirement))
    return next((wheel for wheel in fitting if urlsplit(wheel.url).scheme in ("http", "https")), None)


def matches_requirement(filename: str, requirement: str) -> bool:
    """Whether it is a platform-independent wheel of `name==version`. Versions are compared as spelled."""
    name, _, version = requirement.partition("==")
    parts = filename.removesuffix(".whl").split("-")  # name, version, optional build number, python, abi, platform
    if not filename.endswith(".whl") or len(parts) not in (5, 6):
        return False
    pure = "py3" in parts[-3].split(".") and parts[-2:] == ["none", "any"]
    return pure and parts[1] == version and normalize_name(parts[0]) == normalize_name(name)


def normalize_name(name: str) -> str:
    """The normalized package name (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _in_json(page: bytes, url: str) -> Iterator[tuple[str, Wheel]]:
    for each in msgspec.json.decode(page, type=SimpleIndexPage).files:  # raises subclasses of ValueError
        yield each.filename, Wheel(urljoin(url, each.url), each.hashes.get("sha256", ""))


def _in_html(page: bytes, url: str) -> Iterator[tuple[str, Wheel]]:
    links = _Links(url)
    links.feed(page.decode("utf-8", "replace"))
    for link in links.links:
        bare, fragment = urldefrag(link)
        kind, _, told = fragment.partition("=")
        yield unquote(urlsplit(bare).path.rpartition("/")[2]), Wheel(bare, told if kind == "sha256" else "")


class _Links(HTMLParser):
    """Every link of a page, as an absolute URL."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._base = url
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        to = dict(attrs).get("href") or ""
        if tag == "base" and to:
            self._base = urljoin(self._base, to)
        elif tag == "a" and to:
            self.links.append(urljoin(self._base, to))
