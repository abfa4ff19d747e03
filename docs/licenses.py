"""The licences of all that `make up` installs, as the packages themselves say; holds what we accept, and why."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path

from docs.lock_file import UP, Locked, purposes, read

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reference" / "licenses.md"

ALLOWED = frozenset(
    {"0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "ISC", "MIT", "MIT-0", "PSF-2.0", "Zlib"},
)
"""By their SPDX names. None asks of users that they publish what they build."""
EXCEPTED: Mapping[str, tuple[str, str]] = {
    "pathspec": ("MPL-2.0", "hatchling needs it to install Sizewise; nothing of ours contains or imports it"),
    "psycopg": ("LGPL-3.0-only", "DBOS needs it; a library beside ours, imported as it is, and free to be replaced"),
    "psycopg-binary": ("LGPL-3.0-only", "the compiled part of psycopg"),
}
"""Package -> the one licence that it may have beyond these, and why."""

SPELT: Mapping[str, str] = {
    "mit license": "MIT",
    "apache 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "3-clause bsd license": "BSD-3-Clause",
    "bsd 2-clause license": "BSD-2-Clause",
    "isc license (iscl)": "ISC",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "python software foundation license": "PSF-2.0",
}
"""Other spellings, in small letters, of what has an SPDX name. "BSD License" is none: it does not say which."""
READ: Mapping[str, str] = {"quickjs-ng": "MIT"}
"""Packages whose metadata is silent, and what the licence file in their wheel says."""
UNKNOWN = "unknown"
CLASSIFIER = "License :: OSI Approved :: "


def licence(package: str) -> str:
    """An SPDX expression, from the metadata of the installed package; `unknown` where that says nothing clear."""
    try:
        said = metadata.metadata(package)
    except metadata.PackageNotFoundError:
        return UNKNOWN
    if "License-Expression" in said:
        return said["License-Expression"]
    classified = [text.removeprefix(CLASSIFIER) for text in said.get_all("Classifier") or [] if CLASSIFIER in text]
    spelt = [_spdx(text) for text in ((said.get_all("License") or [""])[0], *classified)]
    if spelt[0]:
        return spelt[0]
    named = sorted({each for each in spelt[1:] if each})
    return " AND ".join(named) if named and all(spelt[1:]) else READ.get(package, UNKNOWN)


def _spdx(text: str) -> str:
    plain = text.strip()
    known = {each.lower(): each for each in ALLOWED}
    return SPELT.get(plain.lower()) or known.get(plain.lower(), "")


def accepted(expression: str, also: frozenset[str] = frozenset()) -> bool:
    """Whether an SPDX expression can be satisfied by what we allow; one that cannot be read is not."""
    words = re.findall(r"[()]|[^\s()]+", expression)
    try:
        verdict = _either(words, ALLOWED | also)
    except IndexError:
        return False
    return verdict and not words


def _either(words: list[str], allowed: frozenset[str]) -> bool:
    verdict = _both(words, allowed)
    while words[:1] == ["OR"]:
        words.pop(0)
        verdict = _both(words, allowed) or verdict
    return verdict


def _both(words: list[str], allowed: frozenset[str]) -> bool:
    verdict = _one(words, allowed)
    while words[:1] == ["AND"]:
        words.pop(0)
        verdict = _one(words, allowed) and verdict
    return verdict


def _one(words: list[str], allowed: frozenset[str]) -> bool:
    word = words.pop(0)
    if word != "(":
        return word in allowed
    verdict = _either(words, allowed)
    return words.pop(0) == ")" and verdict


def refused() -> list[str]:
    """A line for each locked package whose licence we do not accept; empty when all is well."""
    named = {each.name: licence(each.name) for each in read(UP)}
    return [
        f"{name} is under {expression!r}"
        for name, expression in named.items()
        if not accepted(expression, frozenset({EXCEPTED[name][0]} if name in EXCEPTED else ()))
    ]


def core() -> list[str]:
    """The packages that pyproject.toml asks for without an extra, spelt as in a lock file."""
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    return [re.split(r"[^A-Za-z0-9._-]", each, maxsplit=1)[0].lower() for each in asked]


def pages() -> dict[Path, str]:
    return {PAGE: "\n".join(_page())}


def _page() -> Iterator[str]:
    locked = read(UP)
    what = purposes(locked, core())
    yield "# Licences\n\n*Made by `python -m docs.build`; do not change it here.*\n"
    yield "Sizewise is under Apache-2.0. This is what `make up` installs beside it, from `requirements/up.lock`, each"
    yield "with the licence that the package itself states. `core` runs always, `extra` for local models and learning,"
    yield "`install` only while Sizewise is being installed. The same for machines: [sbom.json](sbom.json).\n"
    yield "| package | versions | needed for | licence |\n|---|---|---|---|"
    for name, versions in sorted(_versions(locked).items()):
        yield f"| {name} | {', '.join(versions)} | {what[name]} | {licence(name)} |"
    yield "\nThe wheel itself holds GraphiQL 3.8.3 and React 18.3.1 for browsers (MIT; fonts Apache-2.0 and OFL-1.1):"
    yield "whose each part is, `sizewise/graphql/graphiql/LICENCES.txt` says."
    yield "\n`make check` fails on any licence but " + ", ".join(sorted(ALLOWED)) + "; excepted are:\n"
    yield from (f"* {name} ({spdx}): {why}." for name, (spdx, why) in EXCEPTED.items())
    yield ""


def _versions(locked: list[Locked]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for each in locked:
        found.setdefault(each.name, []).append(each.version)
    return found
