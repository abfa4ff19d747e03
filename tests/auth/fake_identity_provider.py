"""A double of an identity provider that can lie: a test says what its next token is; it checks PKCE as others do."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from joserfc import jwt
from joserfc.jwk import ECKey, OKPKey, RSAKey

Claims = dict[str, Any]
Signing = Callable[[Claims], str]


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@dataclass
class FakeIdentityProvider:
    """`claims` changes those of the next tokens, `sign` how they are signed; `log` are the paths that were asked."""

    url: str
    keys: dict[str, RSAKey | ECKey | OKPKey]
    claims: Claims = field(default_factory=dict)
    person: Claims = field(default_factory=dict)
    alg: str = "RS256"
    kid: str = "one"
    sign: Signing | None = None
    document: Claims = field(default_factory=dict)  # of its own, over the usual one
    published: list[str] = field(default_factory=lambda: ["one"])
    log: list[str] = field(default_factory=list)
    forms: list[dict[str, str]] = field(default_factory=list)
    begun: dict[str, dict[str, str]] = field(default_factory=dict)  # code -> the request
    status: int = 200
    body: bytes = b""

    def code(self, url: str) -> tuple[str, str]:
        """The person says yes at its page: a code, and the state."""
        asked = {name: value[0] for name, value in parse_qs(urlsplit(url).query).items()}
        code = f"code-{len(self.begun)}"
        self.begun[code] = asked
        return code, asked["state"]

    def answer(self, path: str, form: dict[str, str]) -> tuple[int, bytes]:
        self.log.append(path)
        if path == "/.well-known/openid-configuration":
            usual = {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "jwks_uri": f"{self.url}/jwks",
            }
            return 200, json.dumps({**usual, **self.document}).encode()
        if path == "/jwks":
            keys = [{**self.keys[kid].as_dict(private=False), "kid": kid} for kid in self.published]
            return 200, json.dumps({"keys": keys}).encode()
        if path == "/token":
            self.forms.append(form)
            return self._token(form)
        return 404, b"{}"

    def _token(self, form: dict[str, str]) -> tuple[int, bytes]:
        if self.status != 200 or self.body:
            return self.status, self.body
        asked = self.begun.get(form["code"])  # a hostile one takes a code twice
        if asked is None:
            return 400, b"{}"
        proof = b64(hashlib.sha256(form["code_verifier"].encode()).digest())
        if asked["code_challenge_method"] != "S256" or proof != asked["code_challenge"]:
            return 400, b'{"error": "invalid_grant"}'
        now = time.time()
        claims = {
            "iss": self.url,
            "aud": asked["client_id"],
            "sub": "subject-1",
            "iat": now,
            "exp": now + 300,
            "nonce": asked["nonce"],
            "email_verified": True,
            **self.person,
            **self.claims,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        token = self.sign(claims) if self.sign else self.signed(claims)
        return 200, json.dumps({"id_token": token, "token_type": "Bearer"}).encode()

    def signed(self, claims: Claims) -> str:
        return jwt.encode({"alg": self.alg, "kid": self.kid}, claims, self.keys[self.kid], algorithms=[self.alg])

    def unsigned(self, claims: Claims) -> str:
        return f"{b64(json.dumps({'alg': 'none'}).encode())}.{b64(json.dumps(claims).encode())}."

    def by_public_key(self, claims: Claims) -> str:
        """HS256 whose secret is the RSA key that everybody knows, as PEM."""
        public = self.keys["one"].as_pem(private=False)
        head = b64(json.dumps({"alg": "HS256", "kid": "one"}).encode())
        text = f"{head}.{b64(json.dumps(claims).encode())}"
        return f"{text}.{b64(hmac.new(public, text.encode(), hashlib.sha256).digest())}"


@contextmanager
def fake_identity_provider() -> Iterator[FakeIdentityProvider]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    issuer = FakeIdentityProvider(
        f"http://127.0.0.1:{server.server_port}",
        {
            "one": RSAKey.generate_key(2048),
            "two": RSAKey.generate_key(2048),
            "small": RSAKey.generate_key(1024),
            "curve": ECKey.generate_key("P-256"),
            "edwards": OKPKey.generate_key("Ed25519"),
        },
    )

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send(*issuer.answer(self.path, {}))

        def do_POST(self) -> None:
            text = self.rfile.read(int(self.headers["content-length"])).decode()
            self._send(*issuer.answer(self.path, {name: value[0] for name, value in parse_qs(text).items()}))

        def _send(self, status: int, body: bytes) -> None:
            self.send_response(status)
            if status == 302:
                self.send_header("location", f"{issuer.url}/elsewhere")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server.RequestHandlerClass = Handler
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        server.server_close()
        thread.join(60)
