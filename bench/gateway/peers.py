"""How each gateway is started, asked and named: one function a gateway, None where it is not installed."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from bench.gateway.process import free_port

KEY = "sk-bench-4f1d0c7a9b3e5826aa17"
UPSTREAM_KEY = "sk-upstream-bench"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a gateway works: an empty folder of its own, its port, and the upstream's."""

    folder: Path
    port: int
    upstream: int


@dataclass(frozen=True, slots=True)
class Gateway:
    """What to start and how to ask it; `doing` says what it does besides passing on."""

    version: str
    command: tuple[str, ...]
    ready: str
    doing: str
    models: Mapping[str, str] = field(default_factory=lambda: {"": "tiny"})
    """Rows of the table: what to write behind the gateway's name, and the model to ask for."""
    headers: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)


def nginx(place: Place) -> Gateway | None:
    """The limit: it passes bytes on and knows nothing of keys or models."""
    program = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if program is None:
        return None
    said = subprocess.run([program, "-v"], capture_output=True, text=True, timeout=10, check=False).stderr
    config = place.folder / "nginx.conf"
    config.write_text(_NGINX.format(folder=place.folder, port=place.port, upstream=place.upstream))
    return Gateway(
        said.strip().rpartition("/")[2],
        (program, "-e", "stderr", "-p", str(place.folder), "-c", str(config)),
        "/v1/models",
        "nothing",
    )


def litellm(place: Place) -> Gateway | None:
    """`$BENCH_LITELLM` is its venv; else the one that install_peers made."""
    program = _installed("BENCH_LITELLM", "litellm") / "bin" / "litellm"
    if not program.exists():
        return None
    there = {"model": "openai/tiny", "api_base": f"http://127.0.0.1:{place.upstream}/v1", "api_key": UPSTREAM_KEY}
    config = place.folder / "config.yaml"
    settings = {
        "model_list": [{"model_name": "tiny", "litellm_params": there}],
        "general_settings": {"master_key": KEY},
        "litellm_settings": {"telemetry": False},
    }
    config.write_text(json.dumps(settings))
    return Gateway(
        _version_in(program.parent.parent, "litellm"),
        (str(program), "--config", str(config), "--host", "127.0.0.1", "--port", str(place.port), "--num_workers", "1"),
        "/health/liveliness",
        "key check",
        headers=(f"authorization: Bearer {KEY}",),
        env={"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "DO_NOT_TRACK": "1"},
    )


def portkey(place: Place) -> Gateway | None:
    """`$BENCH_PORTKEY` is the folder of its node_modules; else the one that install_peers made."""
    package = _installed("BENCH_PORTKEY", "portkey") / "node_modules" / "@portkey-ai" / "gateway"
    node = shutil.which("node")
    if node is None or not package.exists():
        return None
    return Gateway(
        str(json.loads((package / "package.json").read_text())["version"]),
        (node, str(package / "build" / "start-server.js"), f"--port={place.port}", "--headless"),
        "/",
        "nothing",
        headers=(
            f"authorization: Bearer {UPSTREAM_KEY}",
            "x-portkey-provider: openai",
            f"x-portkey-custom-host: http://127.0.0.1:{place.upstream}/v1",
        ),
        env={"NODE_ENV": "production"},
    )


def vllm_router(place: Place) -> Gateway | None:
    """`$BENCH_VLLM_ROUTER` is its venv; else the one that install_peers made."""
    return _rust_router(place, "BENCH_VLLM_ROUTER", "vllm-router", ())


def smg(place: Place) -> Gateway | None:
    """`$BENCH_SMG` is its venv; else the one that install_peers made."""
    return _rust_router(place, "BENCH_SMG", "smg", ("launch", "--backend", "openai", "--history-backend", "none"))


def _rust_router(place: Place, variable: str, name: str, arguments: tuple[str, ...]) -> Gateway | None:
    """Both take the same options. The key is checked by them and passed on."""
    venv = _installed(variable, name)
    program = venv / "bin" / name
    if not program.exists():
        return None
    options = {
        "worker-urls": f"http://127.0.0.1:{place.upstream}",
        "host": "127.0.0.1",
        "port": str(place.port),
        "policy": "round_robin",
        "api-key": KEY,
        "prometheus-host": "127.0.0.1",
        "prometheus-port": str(free_port()),
        "log-level": "error",
    }
    return Gateway(
        _version_in(venv, name.replace("-", "_")),
        (str(program), *arguments, *(word for option, value in options.items() for word in (f"--{option}", value))),
        "/health",
        "key check, balancing, metrics",
        headers=(f"authorization: Bearer {KEY}",),
    )


def unguarded(place: Place) -> Gateway | None:
    """Ours without a guard: what guards cost is the difference."""
    return sizewise(place, _UNGUARDED, "as it comes, but guards")


def limited(place: Place) -> Gateway | None:
    """Ours with all limits of organization, project and model, and personal data hidden from the model."""
    return sizewise(place, _LIMITED, "all limits, guards and masks too")


def sizewise(place: Place, more: str = "", doing: str = "") -> Gateway | None:
    """`$BENCH_SIZEWISE` is the command to start it; else this Python's own `sizewise.cli.main`."""
    command = tuple(shlex.split(os.environ.get("BENCH_SIZEWISE", "")))
    if not command:
        if find_spec("sizewise.cli") is None or find_spec("sizewise.cli.main") is None:
            return None
        command = (sys.executable, "-m", "sizewise.cli.main")
    try:
        its_version = version("sizewise")
    except PackageNotFoundError:
        its_version = "this tree"
    home, config = place.folder / "home", place.folder / "sizewise.toml"
    config.write_text(
        _SIZEWISE.format(upstream=place.upstream, where="anyone" if more == _LIMITED else "machine") + more,
    )
    return Gateway(
        its_version,
        (*command, "up", "--port", str(place.port), "--home", str(home), "--config", str(config)),
        "/readyz",
        doing or "key check, guards, routing, metering, record, metrics",
        models={"": "static/tiny", " auto": "auto"} if not more else {"": "static/tiny"},
        headers=(f"authorization: Bearer {KEY}",),
        env={"SIZEWISE_KEY": KEY, "BENCH_UPSTREAM_KEY": UPSTREAM_KEY},
    )


GATEWAYS: Mapping[str, Callable[[Place], Gateway | None]] = {
    "nginx": nginx,
    "portkey": portkey,
    "litellm": litellm,
    "vllm-router": vllm_router,
    "smg": smg,
    "sizewise": sizewise,
    "sizewise-unguarded": unguarded,
    "sizewise-limited": limited,
}


def _version_in(venv: Path, package: str) -> str:
    found = venv.glob(f"lib/python3*/site-packages/{package}-*.dist-info")
    return next((path.name.removesuffix(".dist-info").partition("-")[2] for path in found), "unknown")


def _installed(variable: str, name: str) -> Path:
    folder = os.environ.get("SIZEWISE_BENCH_DIR") or Path.home() / ".cache" / "sizewise-bench"
    return Path(os.environ.get(variable) or Path(folder) / name)


_NGINX = """daemon off; worker_processes 1; pid {folder}/nginx.pid;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 100000000; client_body_buffer_size 128k;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  upstream static {{ server 127.0.0.1:{upstream}; keepalive 128; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://static; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
    }}
  }}
}}
"""

_SIZEWISE = """[server]
embedded = false
discover = false

[providers.static]
base_url = "http://127.0.0.1:{upstream}/v1"
key = "env:BENCH_UPSTREAM_KEY"
place = "{where}"
models = ["tiny", "large"]
"""
_UNGUARDED = """
[guardrails]
pii = "off"
secrets = "off"
injection = "off"
leakage = "off"
"""
_LIMITED = """
[models."static/tiny".price]
input = "0.001"
output = "0.002"
""" + "".join(
    f"""
[limits."{scope}"]
requests_per_minute = 1000000000000
tokens_per_minute = 1000000000000
usd_per_day = "1000000"
usd_per_month = "1000000"
"""
    for scope in ("organization", "project:default", "model:static/tiny")
)
