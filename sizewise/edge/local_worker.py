"""The configuration of workerd that runs a Worker on this machine, with local doubles of Cloudflare's services.

workerd reads secrets from its environment, so that no file holds one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import msgspec

from sizewise.edge.compiled_release import CompiledRelease
from sizewise.edge.worker_folder import (
    COMPATIBILITY_DATE,
    COMPATIBILITY_FLAGS,
    LOCAL_SERVICES,
    RELEASE,
    RUNTIME,
    asks_workers_ai,
    built_file,
)
from sizewise.model_card import ModelCard

CONFIG = "config.capnp"
KEYS, MODELS = "keys.json", "models.json"

TEMPLATE = """\
using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "main", worker = .main),
    (name = "local", worker = .local),
    (name = "internet", network = (allow = ["public", "private", "local"], tlsOptions = (trustBrowserCas = true))),
  ],
  sockets = [(name = "http", address = {address}, http = (), service = "main")],
);

const main :Workerd.Worker = (
  modules = [
    (name = "runtime.mjs", esModule = embed "{runtime}"),
    (name = "release.mjs", esModule = embed "{release}"),
  ],
  compatibilityDate = "{date}",
  compatibilityFlags = {flags},
  bindings = [{bindings}],
  globalOutbound = "internet",
  cacheApiOutbound = (name = "local", entrypoint = "Cache"),
);

const local :Workerd.Worker = (
  modules = [(name = "local_services.mjs", esModule = embed "{local}")],
  compatibilityDate = "{date}",
  bindings = [
    (name = "VALUES", json = embed "{keys}"),
    (name = "MODELS", json = embed "{models}"),{secrets}
  ],
  globalOutbound = "internet",
);
"""


def local_files(
    compiled: CompiledRelease, cards: tuple[ModelCard, ...], keys: Mapping[str, object], host: str, port: int
) -> Mapping[str, bytes]:
    """The files beside the Worker's own. `keys`: what KV holds."""
    asked = {
        card.model: {"url": card.endpoint.base_url, "secret": card.endpoint.key.removeprefix("env:")}
        for card in cards
        if (row := compiled.data["rows"].get(card.name)) is not None and row["via"] == "workers-ai"
    }
    theirs = sorted({row["secret"] for row in asked.values()} - {""})
    bindings = ['(name = "KEYS", kvNamespace = "local")', *map(_secret, compiled.secrets)]
    if asks_workers_ai(compiled):
        bindings.append('(name = "AI", service = (name = "local", entrypoint = "Ai"))')
    config = TEMPLATE.format(
        address=json.dumps(f"{host}:{port}"),
        runtime=RUNTIME,
        release=RELEASE,
        date=COMPATIBILITY_DATE,
        flags=json.dumps(list(COMPATIBILITY_FLAGS)),
        bindings=", ".join(bindings),
        local=LOCAL_SERVICES,
        keys=KEYS,
        models=MODELS,
        secrets="".join(f"\n    {_secret(name)}," for name in theirs),
    )
    return {
        CONFIG: config.encode(),
        LOCAL_SERVICES: built_file(LOCAL_SERVICES),
        KEYS: msgspec.json.encode(keys),
        MODELS: msgspec.json.encode(asked),
    }


def _secret(name: str) -> str:
    return f"(name = {json.dumps(name)}, fromEnvironment = {json.dumps(name)})"
