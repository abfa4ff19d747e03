"""The archive of a small machine: a project's folder, its settings without the server's own, and weights, by SHA-256.

It holds no secret. Packed for the same release, the same files come out.
"""

from __future__ import annotations

import io
import re
import tarfile
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from hashlib import file_digest, sha256
from pathlib import Path
from typing import BinaryIO

import msgspec
from msgspec import Struct

from sizewise import __version__
from sizewise.catalog.loader import weights_path
from sizewise.errors import BadRequest
from sizewise.guardrails.secrets import find_secrets
from sizewise.model_card import ModelCard
from sizewise.releases.folder_release import FILE_OPTIONS
from sizewise.settings.load import Settings

ROOT, MANIFEST = "sizewise-edge", "pack.json"
HOME, MODELS, WHEELS = "home", "cache/models", "wheels"
FORMAT = 1
FOLDERS = ("flows", "prompts", "evals")
SHARED_TABLES = frozenset(
    {
        *("router", "sizes", "shadow", "policies", "agents", "models", "guardrails", "knowledge"),  # of a release
        *("providers", "egress", "hosts", "mcp", "moderation", "response_cache", "local", "memory", "projects"),
    }
)
"""Tables of sizewise.toml that a machine needs too; all others are the server's own."""
HEADING = re.compile(r"\s*\[\[?\s*[\"']?([A-Za-z0-9_-]+)")
SMALL_MEMORY = """\
[local]  # for 2 GB of memory: each slot has a cache for its context, 94 MB for 4,096 tokens of a 135M model
slots = 1
context = 4096
"""
ALARM = """\
[alerts.errors]  # a release that was taken within the last hour is taken back where an alert begins to fire
metric = "error_rate"
window = "5m"
alert = 0.3
"""
README = """\
A Sizewise for a small machine, version {version}. It needs Python 3.11 or later, and no network {offline}.

1. python3 -m venv venv && venv/bin/pip install {install}
2. SIZEWISE_HOME=$PWD/home SIZEWISE_CACHE=$PWD/cache venv/bin/sizewise up
3. To report to a gateway and take its releases, once, with a key that was made there for this machine:
   SIZEWISE_HOME=$PWD/home venv/bin/sizewise edge join NAME
4. As a service of systemd, from /opt/sizewise-edge:
   useradd --system sizewise && chown -R sizewise home
   cp sizewise-edge.service /etc/systemd/system && systemctl enable --now sizewise-edge
{lacking}"""
UNIT = """\
[Unit]
Description=Sizewise on a small machine
After=network.target

[Service]
User=sizewise
WorkingDirectory=/opt/sizewise-edge
Environment=SIZEWISE_HOME=/opt/sizewise-edge/home SIZEWISE_CACHE=/opt/sizewise-edge/cache
EnvironmentFile=-/opt/sizewise-edge/home/env
ExecStart=/opt/sizewise-edge/venv/bin/sizewise up
ExecReload=/bin/kill -HUP $MAINPID
Restart=always
TimeoutStopSec=45
ProtectSystem=strict
ReadWritePaths=/opt/sizewise-edge/home
ProtectHome=yes
ProtectProc=invisible
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
RemoveIPC=yes
UMask=0077
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged

[Install]
WantedBy=multi-user.target
"""


class PackManifest(Struct, frozen=True):
    """pack.json. `files`: SHA-256 by path. `origin`, `release_key`: of the gateway; empty: not known."""

    release: str
    version: str
    origin: str
    release_key: str
    files: Mapping[str, str]
    format: int = FORMAT


def machine_settings(text: str, gate: Iterable[str]) -> str:
    """The settings file of a machine: the tables that it shares with this one, an alarm, and an environment that takes
    releases. Raises BadRequest.
    """
    kept, keeps = list[str](), False
    for line in text.splitlines():
        if (head := HEADING.match(line)) is not None:
            keeps = head[1] in SHARED_TABLES
        if keeps:
            kept.append(line)
    shared = "\n".join(kept).strip()
    whole = tomllib.loads(text)
    try:
        is_same = tomllib.loads(shared) == {name: each for name, each in whole.items() if name in SHARED_TABLES}
    except tomllib.TOMLDecodeError:
        is_same = False
    if not is_same:
        raise BadRequest(
            "the tables of sizewise.toml that a machine needs cannot be told from the others",
            "write each as [table], with no line that begins with a bracket inside of a text or list",
        )
    if next(iter(find_secrets(shared)), None) is not None:
        raise BadRequest("sizewise.toml holds what looks like a secret", 'refer to it, as in key = "env:NAME"')
    names = ", ".join(f'"{each}"' for each in gate)
    memory = "" if "local" in whole else f"{SMALL_MEMORY}\n"
    return f'{shared}\n\n{memory}{ALARM}\n[environments.prod]\nfrom = "any"\ngate = [{names}]\n'.lstrip()


def write_pack(
    target: BinaryIO,
    settings: Settings,
    text: str,
    root: Path,
    models: Iterable[ModelCard],
    wheels: Path | None,
    lacking: Iterable[str],
    manifest: PackManifest,
) -> PackManifest:
    """`text`: of the machine's settings. `lacking`: models that it has to fetch. Raises OSError."""
    files: dict[str, str] = {}
    install = f"--no-index --find-links wheels '{requirement()}'" if wheels is not None else f"'{requirement()}'"
    needed = "".join(f"\nIt has no weights of {name}: venv/bin/sizewise models pull {name}\n" for name in lacking)
    with tarfile.open(fileobj=target, mode="w:gz", compresslevel=1) as archive:

        def add(name: str, content: bytes) -> None:
            files[name] = sha256(content).hexdigest()
            _add(archive, name, io.BytesIO(content), len(content))

        def add_file(name: str, path: Path) -> None:
            with path.open("rb") as file:
                files[name] = file_digest(file, "sha256").hexdigest()
                size = file.tell()
                file.seek(0)
                _add(archive, name, file, size)

        offline = "at all" if wheels is not None else "from step 2 on"
        words = README.format(version=__version__, offline=offline, install=install, lacking=needed)
        add("README.txt", words.encode())
        add("sizewise-edge.service", UNIT.encode())
        add(f"{HOME}/sizewise.toml", text.encode())
        for path in _project_files(root, text):
            add_file(f"{HOME}/{path.relative_to(root)}", path)
        for card in models:
            assert card.weights is not None
            path = weights_path(card.weights, settings.cache_dir)
            add_file(f"{MODELS}/{card.weights.sha256[:12]}-{card.weights.file}", path)
        for wheel in sorted(wheels.glob("*.whl")) if wheels is not None else ():
            add_file(f"{WHEELS}/{wheel.name}", wheel)
        made = msgspec.structs.replace(manifest, files=files)
        content = msgspec.json.format(msgspec.json.encode(made), indent=2) + b"\n"
        _add(archive, MANIFEST, io.BytesIO(content), len(content))
    return made


def requirement() -> str:
    return f"sizewise[local,flows,learn]=={__version__}"


def _project_files(root: Path, text: str) -> Iterator[Path]:
    """Flows, prompts and evals without their runs, and the files that policies name."""
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
            if path.is_file() and not path.is_symlink() and not hidden:
                yield path
    tables = tomllib.loads(text)
    policies = tables.get("policies", {}).values()
    named = {each[option] for each in policies for option in FILE_OPTIONS if each.get(option)}
    for name in sorted(named | ({tables.get("router", {}).get("predictor")} - {None, ""})):
        path = root / name
        if not path.resolve().is_relative_to(root.resolve()):
            raise BadRequest(f"{name!r} lies outside of the project's folder", "move it there")
        yield path


def _add(archive: tarfile.TarFile, name: str, content: BinaryIO, size: int) -> None:
    entry = tarfile.TarInfo(f"{ROOT}/{name}")
    entry.size, entry.mode = size, 0o644
    archive.addfile(entry, content)


def read_manifest(folder: Path) -> PackManifest | None:
    """Of an unpacked archive, from its home; None: it is none."""
    try:
        return msgspec.json.decode((folder.parent / MANIFEST).read_bytes(), type=PackManifest)
    except (OSError, msgspec.DecodeError):
        return None


def damaged_files(home: Path, manifest: PackManifest) -> list[str]:
    """Files of the archive that are missing or changed, but for what may be: the home, and wheels once installed."""
    found = list[str]()
    for name, wanted in manifest.files.items():
        path = home.parent / name
        if name.startswith((f"{HOME}/", f"{WHEELS}/")):
            continue
        try:
            with path.open("rb") as file:
                is_same = file_digest(file, "sha256").hexdigest() == wanted
        except OSError:
            is_same = False
        found += [] if is_same else [name]
    return found
