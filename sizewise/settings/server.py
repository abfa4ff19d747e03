"""Settings of the server: listening, TLS, webhooks, flow triggers and outbound network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from sizewise.data_class import Place
from sizewise.settings.toml_reader import setting
from sizewise.settings.validators import network, reference, url, web_origin


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """TLS certificate of the listener; without one the server speaks plain HTTP.

    Paths are relative to the settings file. A reload also reloads the files and keeps open connections.
    """

    cert: str = setting("", "Certificate file (PEM), followed by its intermediate certificates.")
    key: str = setting("", "Private key file, without a password and readable only by its owner.", secret=True)
    client_ca: str = setting("", "CA file for client certificates (mutual TLS). Empty: clients need no certificate.")
    min_version: Literal["1.2", "1.3"] = setting("1.2", "Lowest TLS version accepted.")


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Listener, request limits and discovery."""

    host: str = setting("127.0.0.1", "Address to listen on. Other than the loopback address requires an API key.")
    port: int = setting(8080, "Port to listen on; 0 picks a free port.", minimum=0, maximum=65_535)
    allowed_hosts: tuple[str, ...] = setting(
        (),
        "Additional Host header values to accept (protection against DNS rebinding).",
    )
    cors_origins: tuple[str, ...] = setting(
        (),
        "Origins of web pages whose scripts may call this server with an API key, as 'https://app.example.com'; '*': "
        "all. Cookies are never accepted from them.",
        validator=web_origin,
    )
    workers: Literal["auto"] | int = setting(
        1,
        "Processes that serve model requests, each with its own core; `auto`: one for each physical core. With more "
        "than one, a store process owns what needs one owner: APIs of accounts, flows and knowledge, local models, and "
        "slots. Not changed by a reload.",
        minimum=1,
        maximum=64,
    )
    trusted_proxies: tuple[str, ...] = setting(
        (),
        "CIDR networks of reverse proxies whose X-Forwarded-For and X-Forwarded-Proto headers are trusted.",
        validator=network,
    )
    embedded: bool = setting(True, "Offer the embedded models, in worker processes on this machine.")
    discover: bool = setting(True, "Look for other model servers on this machine at startup.")
    fast_path: bool = setting(
        True, "Serve chat completions in the server's protocol class, without the ASGI middleware."
    )
    tls: TlsSettings = setting(TlsSettings(), "TLS certificate of the listener.")
    drain_timeout_s: float = setting(
        30.0,
        "Seconds that running requests may take after SIGTERM, before they end with `server_stopping`.",
        minimum=0,
        maximum=3_600,
    )
    max_body_bytes: int = setting(
        8_388_608, "Maximum size of a request body, in bytes.", minimum=1_024, maximum=1_073_741_824
    )
    max_upload_bytes: int = setting(
        104_857_600,
        "Maximum size of an uploaded form with audio or images, in bytes. Audio is passed on as it arrives, with about "
        "1 MiB of it in memory; images and forms whose `model` comes after the file are held, up to `max_body_bytes` a "
        "file.",
        minimum=1_024,
        maximum=10_737_418_240,
    )
    max_total_body_bytes: int = setting(
        268_435_456,
        "Maximum bytes of request bodies held at a time, except small ones; beyond: 503 with Retry-After. At least one "
        "body of the maximum size is accepted.",
        minimum=1_024,
        maximum=1_099_511_627_776,
    )
    min_body_bytes_per_s: int = setting(
        240,
        "Minimum rate of a request body, measured every 5 seconds; below: 408. 0: no minimum.",
        minimum=0,
        maximum=1_000_000_000,
    )
    body_timeout_s: float = setting(
        60.0,
        "Timeout for receiving the request body, and for a client that stops reading the response.",
        minimum=0.05,
        maximum=86_400,
    )

    @property
    def url(self) -> str:
        """Where the listener can be reached, without a path."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http{'s' if self.tls.cert else ''}://{host}:{self.port}"


WebhookEvent = Literal["budget.alert", "target.missed", "key.revoked", "flow.ended"]
"""The event types that a webhook can receive."""


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """A receiver of events, signed according to Standard Webhooks. Events never contain prompt text."""

    url: str = setting("", "URL to send events to, as 'https://host/path'. Redirects are not followed.", validator=url)
    secret: str = setting(
        "",
        "Signing secret by reference, `env:NAME`, `file:PATH` or `exec:COMMAND`: `whsec_` and 24 to 64 bytes in "
        "base64. During a rotation: two, separated by a blank.",
        validator=reference,
        secret=True,
    )
    place: Place = setting("anyone", "Where the receiver runs. You declare it; `egress.internal` must allow it.")
    events: tuple[WebhookEvent, ...] = setting((), "Event types to send; empty: all.")


OtlpNames = Literal["2026-04", "main"]
"""Versions of the names of attributes."""


@dataclass(frozen=True, slots=True)
class OtlpSettings:
    """Export of traces to a collector, by OTLP over HTTP with JSON. Spans never contain prompt text."""

    endpoint: str = setting(
        "",
        "Base URL of the collector, as 'http://localhost:4318'; `/v1/traces` is appended. Empty: "
        "OTEL_EXPORTER_OTLP_ENDPOINT, else no export.",
        validator=url,
    )
    place: Place = setting("anyone", "Where the collector runs. You declare it; `egress.internal` must allow it.")
    headers: str = setting(
        "",
        "Headers by reference, `env:NAME`, `file:PATH` or `exec:COMMAND`: `name=value`, between commas, "
        "percent-encoded. Empty: OTEL_EXPORTER_OTLP_HEADERS.",
        validator=reference,
        secret=True,
    )
    service_name: str = setting("", "`service.name` of the spans. Empty: OTEL_SERVICE_NAME, else `sizewise`.")
    resource: Mapping[str, str] = setting(
        MappingProxyType({}),
        'Attributes of the server on all its spans, as `"deployment.environment.name" = "prod"`, in addition to '
        "OTEL_RESOURCE_ATTRIBUTES.",
    )
    names: OtlpNames = setting(
        "2026-04",
        "Version of the names of attributes: a month of OpenTelemetry's conventions for generative AI, or `main`: what "
        "they say now.",
    )
    sample: float = setting(1.0, "Share of traces to export. Errors are always exported.", minimum=0, maximum=1)
    slow_ms: int = setting(0, "Requests of this many milliseconds or more are always exported; 0: none.", minimum=0)


@dataclass(frozen=True, slots=True)
class TriggerSettings:
    """A webhook that starts a flow: POST /hooks/flows/NAME, signed according to Standard Webhooks."""

    flow: str = setting(
        "", "Flow to start; it needs a trigger of kind `webhook`. It runs with its publisher's permissions."
    )
    project: str = setting("default", "Project of the flow, in the first organization.")
    secret: str = setting(
        "",
        "Signing secret by reference, `env:NAME`, `file:PATH` or `exec:COMMAND`: `whsec_` and 24 to 64 bytes in "
        "base64. During a rotation: two, separated by a blank.",
        validator=reference,
        secret=True,
    )


@dataclass(frozen=True, slots=True)
class NetworkSettings:
    """Proxies and certificate authorities of outbound connections. Unset keys are read from the environment."""

    ca: str = setting("", "CA file; empty: from the environment, else the system's.")
    proxy: str = setting("", "Proxy for all outbound requests; empty: from the environment.", secret=True)
    no_proxy: tuple[str, ...] = setting((), "Hosts, domains or networks reached without the proxy.")
