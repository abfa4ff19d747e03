"""The folder of a Worker: runtime, release, and what `wrangler` and Cloudflare's API want to know of them.

It holds no secret: a Worker gets these apart, under their names.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec

from sizewise.atomic_file import write_files_atomically
from sizewise.edge.compiled_release import CompiledRelease
from sizewise.settings.edge import EdgeSettings

RUNTIME, RELEASE, WRANGLER, METADATA = "runtime.mjs", "release.mjs", "wrangler.json", "metadata.json"
LOCAL_SERVICES = "local_services.mjs"
COMPATIBILITY_DATE = "2026-11-01"
COMPATIBILITY_FLAGS = ("enable_request_signal",)
"""Without it a Worker does not learn that its client has left."""
HEAD, TAIL = b"export default ", b";\n"
"""Around the data of a release, which is JSON."""
NO_NAMESPACE = "0" * 32
RATE_LIMIT_PERIOD_S = 60


def built_file(name: str) -> bytes:
    """A file of the runtime as it was built from edge/."""
    return files("sizewise.edge").joinpath("built", name).read_bytes()


def folder_files(compiled: CompiledRelease, settings: EdgeSettings) -> Mapping[str, bytes]:
    """The files by name."""
    return {
        RUNTIME: built_file(RUNTIME),
        RELEASE: HEAD + msgspec.json.encode(compiled.data) + TAIL,
        WRANGLER: _pretty(_wrangler(compiled, settings)),
        METADATA: _pretty(_metadata(compiled, settings)),
    }


def read_release(module: bytes) -> Mapping[str, object] | None:
    """The data of a release module; None if it is none of ours."""
    if not module.strip().startswith(HEAD):
        return None
    try:
        found = msgspec.json.decode(module.strip().removeprefix(HEAD).removesuffix(TAIL.strip()))
    except msgspec.DecodeError:
        return None
    return found if isinstance(found, dict) and "build" in found else None


def write_folder(folder: Path, content: Mapping[str, bytes]) -> None:
    """Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    write_files_atomically({folder / name: data for name, data in content.items()})


def asks_workers_ai(compiled: CompiledRelease) -> bool:
    return any(row["via"] == "workers-ai" for row in compiled.data["rows"].values())


def _wrangler(compiled: CompiledRelease, settings: EdgeSettings) -> dict[str, Any]:
    told: dict[str, Any] = {
        "name": settings.name,
        "main": RUNTIME,
        "no_bundle": True,
        "rules": [{"type": "ESModule", "globs": ["**/*.mjs"]}],
        "compatibility_date": COMPATIBILITY_DATE,
        "compatibility_flags": list(COMPATIBILITY_FLAGS),
        "kv_namespaces": [{"binding": "KEYS", "id": settings.keys or NO_NAMESPACE}],
    }
    if asks_workers_ai(compiled):
        told["ai"] = {"binding": "AI"}
    if settings.requests_per_minute:
        simple = {"limit": settings.requests_per_minute, "period": RATE_LIMIT_PERIOD_S}
        told["ratelimits"] = [{"name": "LIMITER", "namespace_id": "1", "simple": simple}]
    return told


def _metadata(compiled: CompiledRelease, settings: EdgeSettings) -> dict[str, Any]:
    """What the Script Upload API wants beside the modules. Secrets of the version before are kept."""
    bindings: list[dict[str, Any]] = [
        {"type": "kv_namespace", "name": "KEYS", "namespace_id": settings.keys or NO_NAMESPACE}
    ]
    if asks_workers_ai(compiled):
        bindings.append({"type": "ai", "name": "AI"})
    if settings.requests_per_minute:
        simple = {"limit": settings.requests_per_minute, "period": RATE_LIMIT_PERIOD_S}
        bindings.append({"type": "ratelimit", "name": "LIMITER", "namespace_id": "1", "simple": simple})
    return {
        "main_module": RUNTIME,
        "compatibility_date": COMPATIBILITY_DATE,
        "compatibility_flags": list(COMPATIBILITY_FLAGS),
        "bindings": bindings,
        "keep_bindings": ["secret_text"],
    }


def _pretty(value: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"
