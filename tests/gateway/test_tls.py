"""The server over TLS: the same answers on both lanes, new certificates without a cut, and who shows none is let go."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sizewise.errors import ConfigError
from sizewise.gateway.tls import Certificates
from sizewise.settings.load import load_settings
from sizewise.settings.server import TlsSettings
from tests.certificates import Authority, Pair
from tests.cli.terminal import sizewise
from tests.running_server import ECHO, Served, serving, until

BODY = {"model": "echo/small", "messages": [{"role": "user", "content": "Hello there"}]}


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def config(pair: Pair, more: str = "", fast_lane: bool = True) -> str:
    said = f'fast_path = {str(fast_lane).lower()}\n[server.tls]\ncert = "{pair.cert.name}"\nkey = "{pair.key.name}"\n'
    return ECHO.replace("[providers.echo]", f"{said}{more}[providers.echo]")


@contextlib.contextmanager
def secured(
    home: Path,
    authority: Authority,
    pair: Pair,
    more: str = "",
    fast_lane: bool = True,
    shown: Pair | None = None,
) -> Iterator[Served]:
    with serving(home, config(pair, more, fast_lane)) as server:
        server.tls = trusting(authority, shown)
        yield server


def trusting(authority: Authority, shown: Pair | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority.file))
    if shown is not None:
        context.load_cert_chain(shown.cert, shown.key)
    return context


@pytest.mark.long
@pytest.mark.parametrize("fast_lane", [True, False])
def test_answers_are_the_same_over_tls_and_a_connection_is_kept(
    tmp_path: Path,
    authority: Authority,
    fast_lane: bool,
) -> None:
    with secured(tmp_path, authority, authority.signs("server"), fast_lane=fast_lane) as server:
        assert server.url.startswith("https://127.0.0.1:")
        assert 'id="studio"' in server.ask("/", key=None).body.decode()
        connection = server.connection()
        sent = {"Authorization": f"Bearer {server.key}", "Content-Type": "application/json"}
        for number in range(20):
            stream = bool(number % 2)
            connection.request("POST", "/v1/chat/completions", json.dumps({**BODY, "stream": stream}), sent)
            answer = connection.getresponse()
            body = answer.read()
            assert answer.status == 200 and (body.rstrip().endswith(b"data: [DONE]") is stream)
            if not number:
                first = connection.sock
            assert connection.sock is first
        assert isinstance(first, ssl.SSLSocket) and first.version() == "TLSv1.3"
        connection.close()
        large = server.chat("echo/small", "word " * 200_000)  # a megabyte in, and out
        assert large.status == 200 and len(large.body) > 900_000


@pytest.mark.long
def test_the_verbs_of_the_same_home_speak_to_it_and_trust_nobody_else(tmp_path: Path, authority: Authority) -> None:
    pair = authority.signs("server")
    with secured(tmp_path, authority, pair):
        assert sizewise("ask", "Hello there", home=tmp_path).code == 0
        assert sizewise("models", "list", home=tmp_path).code == 0
        note = tmp_path / "server.json"
        told = json.loads(note.read_text())
        other = Authority(tmp_path, "another").signs("another-server")
        note.write_text(json.dumps({**told, "cert": other.cert.read_text()}))
        refused = sizewise("ask", "Hello there", home=tmp_path)
        assert refused.code == 3 and "is not trusted" in refused.err


@pytest.mark.long
def test_plain_http_and_old_tls_get_no_answer(tmp_path: Path, authority: Authority) -> None:
    with secured(tmp_path, authority, authority.signs("server"), 'min_version = "1.3"\n') as server:
        host, port = server.url.removeprefix("https://").split(":")
        plain = http.client.HTTPConnection(host, int(port), timeout=60)
        with pytest.raises((http.client.HTTPException, OSError)):
            plain.request("GET", "/healthz")
            plain.getresponse()
        plain.close()
        assert server.tls is not None
        server.tls.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises(ssl.SSLError):
            server.ask("/healthz")
    weak = trusting(authority)
    weak.maximum_version = ssl.TLSVersion.TLSv1_2
    weak.set_ciphers("AES256-SHA:ECDHE-RSA-AES256-SHA:ECDHE-ECDSA-AES256-SHA:@SECLEVEL=0")
    with secured(tmp_path, authority, authority.signs("server")) as server:
        server.tls = weak
        with pytest.raises(ssl.SSLError):
            server.ask("/healthz")


def certificate(server: Served) -> bytes:
    """What a new connection is shown."""
    host, port = server.url.removeprefix("https://").split(":")
    assert server.tls is not None
    with socket.create_connection((host, int(port)), timeout=60) as bare:
        with server.tls.wrap_socket(bare, server_hostname=host) as secure:
            shown = secure.getpeercert(binary_form=True)
    assert shown is not None
    return shown


def replaced(old: Pair, new: Pair) -> None:
    shutil.copy(new.key, old.key)
    shutil.copy(new.cert, old.cert)


@pytest.mark.long
@pytest.mark.parametrize("by", ["reload", "SIGHUP"])
def test_new_certificates_are_taken_without_a_cut(tmp_path: Path, authority: Authority, by: str) -> None:
    pair, new = authority.signs("server"), authority.signs("new")
    with secured(tmp_path, authority, pair) as server:
        connection = server.connection()
        sent = {"Authorization": f"Bearer {server.key}", "Content-Type": "application/json"}
        slow = {**BODY, "messages": [{"role": "user", "content": "[[pace 0.02]] " + "word " * 100}], "stream": True}
        connection.request("POST", "/v1/chat/completions", json.dumps(slow), sent)
        answer = connection.getresponse()
        begun = answer.read(40)
        before = certificate(server)
        replaced(pair, new)
        assert certificate(server) == before  # not before it is told to
        if by == "SIGHUP":
            os.kill(server.process.pid, signal.SIGHUP)
        else:
            token = (tmp_path / "admin.token").read_text().strip()
            asked = server.ask("/graphql", {"query": "mutation { reload { models } }"}, key=token)
            assert asked.status == 200
        until(lambda: certificate(server) != before)
        assert (begun + answer.read()).rstrip().endswith(b"data: [DONE]")
        connection.request("GET", "/healthz")  # the old connection goes on
        assert connection.getresponse().read() == b'{"status":"ok"}'
        connection.close()
        assert sizewise("ask", "Hello there", home=tmp_path).code == 0


def test_a_pair_that_does_not_fit_is_not_taken_on_reload(tmp_path: Path, authority: Authority) -> None:
    pair, new = authority.signs("server"), authority.signs("new")
    with secured(tmp_path, authority, pair) as server:
        before = certificate(server)
        shutil.copy(new.cert, pair.cert)
        token = (tmp_path / "admin.token").read_text().strip()
        refused = server.ask("/graphql", {"query": "mutation { reload { models } }"}, key=token)
        assert b"does not belong to the certificate" in refused.body
        assert certificate(server) == before and server.chat("echo/small").status == 200


# Clients show who they are


def test_who_shows_no_certificate_of_ours_is_turned_away(tmp_path: Path, authority: Authority) -> None:
    clients, strangers = Authority(tmp_path, "clients"), Authority(tmp_path, "strangers")
    pair, known, stranger = authority.signs("server"), clients.signs("known"), strangers.signs("stranger")
    gone = clients.signs("gone", first=-20, last=-10)
    more = f'client_ca = "{clients.file.name}"\n'
    with secured(tmp_path, authority, pair, more, shown=known) as server:
        assert server.chat("echo/small").status == 200
        for shown in (None, stranger, gone):
            server.tls = trusting(authority, shown)
            with pytest.raises((ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)):
                server.ask("/healthz")
        assert sizewise("ask", "Hello there", home=tmp_path).code == 0
        own = tmp_path / "local.pem"
        assert own.stat().st_mode & 0o777 == 0o600
    assert not own.exists()


@pytest.mark.long
def test_an_authority_that_is_trusted_no_more_lets_nobody_in(tmp_path: Path, authority: Authority) -> None:
    old, new = Authority(tmp_path, "old-clients"), Authority(tmp_path, "new-clients")
    pair, known, later = authority.signs("server"), old.signs("known"), new.signs("later")
    trusted = tmp_path / "clients.pem"
    shutil.copy(old.file, trusted)
    with secured(tmp_path, authority, pair, 'client_ca = "clients.pem"\n', shown=known) as server:
        assert server.ask("/healthz").status == 200
        shutil.copy(new.file, trusted)
        os.kill(server.process.pid, signal.SIGHUP)
        server.tls = trusting(authority, later)

        def in_() -> bool:
            try:
                return server.ask("/healthz").status == 200
            except (ssl.SSLError, ConnectionError, http.client.RemoteDisconnected):
                return False

        until(in_)
        server.tls = trusting(authority, known)
        assert not in_()


# What is refused before it listens


def expired(authority: Authority) -> TlsSettings:
    pair = authority.signs("server", first=-20, last=-10)
    return TlsSettings(str(pair.cert), str(pair.key))


def not_yet(authority: Authority) -> TlsSettings:
    pair = authority.signs("server", first=10)
    return TlsSettings(str(pair.cert), str(pair.key))


def another_key(authority: Authority) -> TlsSettings:
    return TlsSettings(str(authority.signs("server").cert), str(authority.signs("other").key))


def open_key(authority: Authority) -> TlsSettings:
    pair = authority.signs("server")
    pair.key.chmod(0o644)
    return TlsSettings(str(pair.cert), str(pair.key))


def locked(authority: Authority) -> TlsSettings:
    pair = authority.signs("server", password=b"hunter2")
    return TlsSettings(str(pair.cert), str(pair.key))


def no_file(authority: Authority) -> TlsSettings:
    pair = authority.signs("server")
    pair.cert.unlink()
    return TlsSettings(str(pair.cert), str(pair.key))


def no_certificate(authority: Authority) -> TlsSettings:
    pair = authority.signs("server")
    return TlsSettings(str(pair.key), str(pair.key))


def no_key(authority: Authority) -> TlsSettings:
    pair = authority.signs("server")
    pair.key.write_text("nothing")
    return TlsSettings(str(pair.cert), str(pair.key))


def no_authority(authority: Authority) -> TlsSettings:
    pair = authority.signs("server")
    return TlsSettings(str(pair.cert), str(pair.key), client_ca=str(pair.key))


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (expired, "expired on"),
        (not_yet, "is not valid before"),
        (another_key, "does not belong to the certificate"),
        (open_key, "other users can read"),
        (locked, "is encrypted with a password"),
        (no_file, "No such file"),
        (no_certificate, "does not contain a certificate"),
        (no_key, "cannot be read"),
        (no_authority, "does not contain certificates"),
    ],
)
def test_what_cannot_be_served_is_said_in_words(
    tmp_path: Path,
    authority: Authority,
    wanted: Callable[[Authority], TlsSettings],
    words: str,
) -> None:
    with pytest.raises(ConfigError, match=words) as refused:
        Certificates(wanted(authority), tmp_path)
    assert refused.value.hint and "BEGIN" not in refused.value.message


@pytest.mark.parametrize(
    ("text", "words"),
    [('cert = "a.pem"', "key: is missing"), ('client_ca = "ca.pem"', "needs `cert` and `key`")],
)
def test_half_a_pair_is_a_mistake_in_the_settings(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "sizewise.toml"
    file.write_text(f"[server.tls]\n{text}\n")
    with pytest.raises(ConfigError, match=words):
        load_settings(file, tmp_path, {})
