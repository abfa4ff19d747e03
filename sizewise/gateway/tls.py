"""The certificates with which the door listens: read and checked, and taken anew without dropping a connection.

Modern ciphers only, each with forward secrecy. With `client_ca` a client shows a certificate of that authority, or is
turned away in the handshake; the verbs of the same home show one that is made at each start for its owner alone.
"""

from __future__ import annotations

import os
import ssl
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sizewise.errors import ConfigError
from sizewise.settings.server import Tls

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2; those of 1.3 are all modern."""
VERSIONS = (("1.2", ssl.TLSVersion.TLSv1_2), ("1.3", ssl.TLSVersion.TLSv1_3))
OWN_YEARS = 10
END = "-----END CERTIFICATE-----"


class Certificates:
    """One per process. `context` is what listens; each handshake is led by what was read last."""

    def __init__(self, wanted: Tls, home: Path) -> None:
        """Raises ConfigError."""
        self._own = home / "local.pem"
        self._ours = _made(self._own) if wanted.client_ca else ""
        self._now, self.leaf = self._read(wanted)
        self.context, _ = self._read(wanted)
        self.context.sni_callback = self._met

    @property
    def own(self) -> str:
        """The file with the certificate that the verbs of this home show; empty where none is asked for."""
        return str(self._own) if self._ours else ""

    def prepare(self, wanted: Tls) -> Callable[[], None]:
        """The change to these, for every handshake after it. Raises ConfigError."""
        if bool(wanted.client_ca) is not bool(self._ours):
            hint = "restart Sizewise for that"
            raise ConfigError("whether clients show a certificate (server.tls.client_ca) is decided at start", hint)
        context, leaf = self._read(wanted)

        def apply() -> None:
            self._now, self.leaf = context, leaf
            self.context.minimum_version = context.minimum_version

        return apply

    def close(self) -> None:
        self._own.unlink(missing_ok=True)

    def _met(self, connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, context: ssl.SSLContext) -> None:
        connection.context = self._now

    def _read(self, wanted: Tls) -> tuple[ssl.SSLContext, str]:
        """The context, and the server's own certificate as PEM."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = dict(VERSIONS)[wanted.min_version]
        context.set_ciphers(CIPHERS)
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
        context.set_alpn_protocols(["http/1.1"])
        leaf = _leaf(Path(wanted.cert))
        _alone(Path(wanted.key))
        _paired(context, wanted)
        if wanted.client_ca:
            context.verify_mode = ssl.CERT_REQUIRED
            context.options |= ssl.OP_NO_TICKET  # else a client that is trusted no more could go on with a ticket
            context.num_tickets = 0
            try:
                context.load_verify_locations(wanted.client_ca, cadata=self._ours)
            except OSError as error:
                raise _unreadable("client_ca", wanted.client_ca, error) from error
        return context, leaf


def _paired(context: ssl.SSLContext, wanted: Tls) -> None:
    def unasked() -> str:
        raise ConfigError(
            f"the key {wanted.key!r} wants a password", "keep it without one, readable by its owner alone"
        )

    try:
        context.load_cert_chain(wanted.cert, wanted.key, unasked)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            told = f"the key {wanted.key!r} is not the one of the certificate {wanted.cert!r}"
            raise ConfigError(told, "name the pair that belongs together") from error
        raise ConfigError(f"the key {wanted.key!r} cannot be read", "name its file in PEM") from error
    except OSError as error:
        raise _unreadable("key", wanted.key, error) from error


def _leaf(path: Path) -> str:
    """The first certificate of the file. Raises ConfigError for one that is none, or is not good today."""
    from cryptography.x509 import load_pem_x509_certificate  # 40 ms, and only who serves TLS needs it

    try:
        text = path.read_text("ascii", "replace")
    except OSError as error:
        raise _unreadable("cert", str(path), error) from error
    start = text.find("-----BEGIN CERTIFICATE-----")
    pem = text[start : text.find(END, start) + len(END)] + "\n" if start >= 0 else ""
    try:
        found = load_pem_x509_certificate(pem.encode("ascii", "replace"))
    except ValueError as error:
        raise ConfigError(f"{str(path)!r} holds no certificate in PEM", "name the file of the certificate") from error
    now = datetime.now(UTC)
    first, last = found.not_valid_before_utc, found.not_valid_after_utc
    if not first <= now <= last:
        when = f"expired on {last:%Y-%m-%d}" if now > last else f"begins on {first:%Y-%m-%d}"
        raise ConfigError(f"the certificate {str(path)!r} {when}", "replace it with a valid one")
    return pem


def _alone(path: Path) -> None:
    """Raises ConfigError where the key is anybody's to read. A group may read one that somebody else gave to us."""
    try:
        found = path.stat()
    except OSError as error:
        raise _unreadable("key", str(path), error) from error
    shut = stat.S_IRWXO | stat.S_IWGRP | (stat.S_IRGRP if found.st_uid == os.geteuid() else 0)
    if found.st_mode & shut:
        raise ConfigError(f"others than you can read {str(path)!r}", f"chmod 600 {path}")


def _unreadable(name: str, path: str, error: OSError) -> ConfigError:
    why = "it holds no certificates in PEM" if isinstance(error, ssl.SSLError) else error.strerror
    return ConfigError(f"server.tls.{name}: {path!r} cannot be read: {why}", "check the path and its permissions")


def _made(path: Path) -> str:
    """A certificate for the verbs of this home, in a file for its owner alone with its key; given without the key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sizewise, the verbs of this home")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=365 * OWN_YEARS))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(Encoding.PEM)
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(pem + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return pem.decode("ascii")
