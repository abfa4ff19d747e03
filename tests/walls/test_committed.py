"""Nothing that is committed names the machine it was written on, the folder it lay in, or a package index."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.walls.source import ROOT, committed

REGISTRIES = ("pypi", "pythonhosted", "npmjs", "yarnpkg", "rubygems", "crates", "anaconda")
REGISTRY = re.compile(rf"\b(?:{'|'.join(REGISTRIES)})\.(?:org|com|io)\b")
"""Hosts of package indexes: people configure their own, and we take what they configured."""

COMMON = frozenset(
    {"bin", "dev", "etc", "home", "mnt", "opt", "proc", "root", "srv", "sys", "tmp", "usr", "var", "Users"},
)
"""Top folders that many machines have: their bare names betray nothing."""


def ours() -> list[str]:
    """Paths of this machine, made from where we stand, so that they need not be written down here."""
    found = {str(ROOT), str(Path(sys.prefix))} - {"/usr", "/usr/local"}
    if ROOT.parts[1] not in COMMON:
        found.add(f"/{ROOT.parts[1]}/")
    return sorted(found)


def betrayals(text: str) -> list[str]:
    paths = [re.search(rf"(?<![\w/.-]){re.escape(each)}", text) for each in ours()]
    return [found[0] for found in [*paths, REGISTRY.search(text)] if found]


def test_no_committed_file_names_this_machine_or_a_package_index() -> None:
    said = []
    for path in committed():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue  # a picture, a model
        said += [f"{path.relative_to(ROOT)} names {each}" for each in betrayals(text)]
    assert said == []


@pytest.mark.parametrize("text", [f"see {ROOT}/notes", f"prefix = {sys.prefix}/bin", f"https://{REGISTRIES[0]}.org/x"])
def test_the_wall_sees_a_betrayal(text: str) -> None:
    assert betrayals(text)


def test_the_wall_lets_ordinary_paths_stand() -> None:
    assert not betrayals("/etc/hosts, /tmp/x, C:\\Users, https://example.com/network/of/people")
