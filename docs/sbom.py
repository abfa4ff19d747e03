"""The software bill of materials, CycloneDX 1.6, from requirements/up.lock; the same lock gives the same bytes.

It contains no time and no serial number. The hashes of the files stay in the lock: a package has one per platform.
"""

from __future__ import annotations

import json
from pathlib import Path

from docs.licenses import core, license_of
from docs.lock_file import OURS, UP, Locked, purposes, read
from sizewise import __version__

PAGE = Path(__file__).parent / "reference" / "sbom.json"
SCOPES = {"core": "required", "extra": "optional", "install": "excluded"}
SELF = f"pkg:pypi/sizewise@{__version__}"

Json = dict[str, object]


def pages() -> dict[Path, str]:
    return {PAGE: json.dumps(bill(), indent=1, sort_keys=True) + "\n"}


def bill() -> Json:
    locked = sorted(read(UP), key=lambda each: (each.name, each.version))
    what = purposes(locked, core())
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "lifecycles": [{"phase": "pre-build"}],
            "component": {
                "type": "application",
                "bom-ref": SELF,
                "name": "sizewise",
                "version": __version__,
                "purl": SELF,
                "licenses": [{"expression": "Apache-2.0"}],
            },
        },
        "components": [_component(each, SCOPES[what[each.name]]) for each in locked],
        "dependencies": [_needs(SELF, OURS, locked), *(_needs(each.purl, each.name, locked) for each in locked)],
    }


def _component(each: Locked, scope: str) -> Json:
    shown: Json = {
        "type": "library",
        "bom-ref": each.purl,
        "name": each.name,
        "version": each.version,
        "purl": each.purl,
        "scope": scope,
        "licenses": [{"expression": license_of(each.name)}],
        "properties": [{"name": "sizewise:files", "value": str(len(each.hashes))}],
    }
    if each.marker:
        shown["properties"] = [
            {"name": "sizewise:files", "value": str(len(each.hashes))},
            {"name": "sizewise:marker", "value": each.marker},
        ]
    return shown


def _needs(ref: str, name: str, locked: list[Locked]) -> Json:
    return {"ref": ref, "dependsOn": [each.purl for each in locked if name in each.needed_by]}
