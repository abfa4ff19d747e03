"""Settings of the server: listening, TLS, webhooks, flow triggers and outbound network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sizewise.data_class import Place
from sizewise.settings.toml_reader import setting
from sizewise.settings.validators import network, reference, url


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """The certificate with which it listens; without one it speaks plain HTTP. Files are meant from this one's folder.

    They are read anew with the settings, and no connection is dropped for that.
    """

    cert: str = setting("", "File of the certificate in PEM, those between it and its authority behind it.")
    key: str = setting("", "File of its key, without a password, readable by its owner alone.", secret=True)
    client_ca: str = setting("", "File of authorities: a client must show a certificate of theirs. Empty: none.")
    min_version: Literal["1.2", "1.3"] = setting("1.2", "The oldest TLS that is spoken.")


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Where Sizewise listens, and what it takes in."""

    host: str = setting("127.0.0.1", "Address to listen on. Beyond this machine it is refused while there is no key.")
    port: int = setting(8080, "Port to listen on; 0 lets the system choose.", minimum=0, maximum=65_535)
    allowed_hosts: tuple[str, ...] = setting(
        (),
        "Further host names under which it may be addressed (against DNS rebinding).",
    )
    trusted_proxies: tuple[str, ...] = setting(
        (),
        "Networks in CIDR of reverse proxies in front of it, whose X-Forwarded-For and X-Forwarded-Proto are believed.",
        validator=network,
    )
    embedded: bool = setting(True, "Offer the embedded models, in worker processes of this machine.")
    discover: bool = setting(True, "Look for other model servers on this machine at start.")
    fast_path: bool = setting(True, "Answer the hot route inside the server's protocol class.")
    tls: TlsSettings = setting(TlsSettings(), "The certificate with which it listens.")
    drain_timeout_s: float = setting(
        30.0,
        "Seconds that running answers may take after SIGTERM.",
        minimum=0,
        maximum=3_600,
    )
    max_body_bytes: int = setting(8_388_608, "Largest request body, in bytes.", minimum=1_024, maximum=1_073_741_824)
    body_timeout_s: float = setting(
        60.0,
        "Seconds that a request's body may take to come, and that a client may take nothing of its answer.",
        minimum=0.05,
        maximum=86_400,
    )


WebhookEvent = Literal["budget.alert", "target.missed", "key.revoked", "flow.ended"]
"""What a webhook can be told."""


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """A receiver that is told what happens, signed as Standard Webhooks has it. Nothing of a prompt is ever told."""

    url: str = setting("", "Where it takes messages, as 'https://host/path'. No redirect is followed.", validator=url)
    secret: str = setting(
        "",
        "By reference, `env:NAME` or `file:PATH`: `whsec_` and 24 to 64 bytes in base64; while it is changed two, with "
        "a blank between.",
        validator=reference,
        secret=True,
    )
    place: Place = setting("anyone", "Where it runs. Declared by you; internal data must be allowed to reach it.")
    events: tuple[WebhookEvent, ...] = setting((), "What it is told of; empty: everything.")


@dataclass(frozen=True, slots=True)
class TriggerSettings:
    """A webhook that starts a flow, at /hooks/flows/NAME, signed as Standard Webhooks has it."""

    flow: str = setting("", "The flow, which must have a trigger of the kind `webhook`. It runs as who published it.")
    project: str = setting("default", "Its project, in the first organization.")
    secret: str = setting(
        "",
        "By reference, `env:NAME` or `file:PATH`: `whsec_` and 24 to 64 bytes in base64; while it is changed two, with "
        "a blank between.",
        validator=reference,
        secret=True,
    )


@dataclass(frozen=True, slots=True)
class NetworkSettings:
    """How the outside is reached; what is not said here is taken from the environment."""

    ca: str = setting("", "File of certificate authorities; empty: as the environment says, else the system's.")
    proxy: str = setting("", "Proxy for every endpoint; empty: as the environment says.", secret=True)
    no_proxy: tuple[str, ...] = setting((), "Hosts, domains or networks reached without a proxy.")
