"""TLS certificates of the listening port: loaded, checked and reloaded without dropping connections.

Only modern ciphers with forward secrecy. With `client_ca`, the handshake requires a client certificate of that
authority; for the commands of this home, one is generated at each start, readable only by its owner.
"""

from __future__ import annotations

import os
import ssl
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sizewise.atomic_file import create_file_atomically
from sizewise.errors import ConfigError, ExternalFailure
from sizewise.settings.server import TlsSettings

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2; all ciphers of 1.3 are modern."""
VERSIONS = (("1.2", ssl.TLSVersion.TLSv1_2), ("1.3", ssl.TLSVersion.TLSv1_3))
CLIENT_CERTIFICATE_YEARS = 10
END_OF_CERTIFICATE = "-----END CERTIFICATE-----"


class Certificates:
    """One per process. `context` listens; each handshake uses the files read last."""

    def __init__(self, settings: TlsSettings, home: Path) -> None:
        """Raises ConfigError, and ExternalFailure if the home cannot be written."""
        self._client_path = home / "local.pem"
        self._client_certificate = _make_client_certificate(self._client_path) if settings.client_ca else ""
        self._current, self.server_certificate = self._read(settings)
        self.context, _ = self._read(settings)
        self.context.sni_callback = self._on_server_name

    @property
    def client_certificate(self) -> str:
        """The file with the certificate for the commands of this home; empty if none is required."""
        return str(self._client_path) if self._client_certificate else ""

    def prepare(self, wanted: TlsSettings) -> Callable[[], None]:
        """The change to other files, for later handshakes. Raises ConfigError."""
        if bool(wanted.client_ca) is not bool(self._client_certificate):
            hint = "restart Sizewise to change it"
            raise ConfigError("client certificates (server.tls.client_ca) cannot be turned on or off by a reload", hint)
        context, leaf = self._read(wanted)

        def apply() -> None:
            self._current, self.server_certificate = context, leaf
            self.context.minimum_version = context.minimum_version

        return apply

    def close(self) -> None:
        self._client_path.unlink(missing_ok=True)

    def _on_server_name(
        self,
        connection: ssl.SSLObject | ssl.SSLSocket,
        name: str | None,
        context: ssl.SSLContext,
    ) -> None:
        connection.context = self._current

    def _read(self, settings: TlsSettings) -> tuple[ssl.SSLContext, str]:
        """The context, and the server's own certificate as PEM."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = dict(VERSIONS)[settings.min_version]
        context.set_ciphers(CIPHERS)
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
        context.set_alpn_protocols(["http/1.1"])
        leaf = _read_certificate(Path(settings.cert))
        _check_key_permissions(Path(settings.key))
        _load_pair(context, settings)
        if settings.client_ca:
            context.verify_mode = ssl.CERT_REQUIRED
            context.options |= ssl.OP_NO_TICKET  # a ticket would let a revoked client continue
            context.num_tickets = 0
            try:
                context.load_verify_locations(settings.client_ca, cadata=self._client_certificate)
            except OSError as error:
                raise _unreadable("client_ca", settings.client_ca, error) from error
        return context, leaf


def _load_pair(context: ssl.SSLContext, settings: TlsSettings) -> None:
    def unasked() -> str:
        raise ConfigError(
            f"the key {settings.key!r} is encrypted with a password",
            "use a key without a password, readable only by its owner",
        )

    try:
        context.load_cert_chain(settings.cert, settings.key, unasked)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            told = f"the key {settings.key!r} does not belong to the certificate {settings.cert!r}"
            raise ConfigError(told, "set `key` and `cert` to a matching pair") from error
        raise ConfigError(f"the key {settings.key!r} cannot be read", "use a key in PEM format") from error
    except OSError as error:
        raise _unreadable("key", settings.key, error) from error


def _read_certificate(path: Path) -> str:
    """The first certificate of the file. Raises ConfigError if there is none, or it is not valid today."""
    from cryptography.x509 import load_pem_x509_certificate  # takes 40 ms and only TLS needs it

    try:
        text = path.read_text("ascii", "replace")
    except OSError as error:
        raise _unreadable("cert", str(path), error) from error
    start = text.find("-----BEGIN CERTIFICATE-----")
    pem = text[start : text.find(END_OF_CERTIFICATE, start) + len(END_OF_CERTIFICATE)] + "\n" if start >= 0 else ""
    try:
        found = load_pem_x509_certificate(pem.encode("ascii", "replace"))
    except ValueError as error:
        raise ConfigError(
            f"{str(path)!r} does not contain a certificate in PEM format", "set `cert` to the file of the certificate"
        ) from error
    now = datetime.now(UTC)
    first, last = found.not_valid_before_utc, found.not_valid_after_utc
    if not first <= now <= last:
        when = f"expired on {last:%Y-%m-%d}" if now > last else f"is not valid before {first:%Y-%m-%d}"
        raise ConfigError(f"the certificate {str(path)!r} {when}", "replace it with a valid one")
    return pem


def _check_key_permissions(path: Path) -> None:
    """Raises ConfigError if others can read the key. Its group may, if another user owns the file."""
    try:
        found = path.stat()
    except OSError as error:
        raise _unreadable("key", str(path), error) from error
    shut = stat.S_IRWXO | stat.S_IWGRP | (stat.S_IRGRP if found.st_uid == os.geteuid() else 0)
    if found.st_mode & shut:
        raise ConfigError(f"other users can read {str(path)!r}", f"chmod 600 {path}")


def _unreadable(name: str, path: str, error: OSError) -> ConfigError:
    why = "it does not contain certificates in PEM format" if isinstance(error, ssl.SSLError) else error.strerror
    return ConfigError(f"server.tls.{name}: {path!r} cannot be read: {why}", "check the path and its permissions")


def _make_client_certificate(path: Path) -> str:
    """Writes a client certificate with its key, readable only by its owner; returns the certificate as PEM. Raises
    ExternalFailure.
    """
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
        .not_valid_after(now + timedelta(days=365 * CLIENT_CERTIFICATE_YEARS))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(Encoding.PEM)
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        path.unlink(missing_ok=True)  # its permissions may be wider
        create_file_atomically(path, pem + secret, 0o600)
    except OSError as error:
        hint = "make the home folder writable and free space on its disk, or choose another with --home DIR"
        raise ExternalFailure(f"cannot write {str(path)!r}: {error.strerror}", hint) from error
    return pem.decode("ascii")
