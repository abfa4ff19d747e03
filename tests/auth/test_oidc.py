"""Signing in at a real provider in a process of its own, and what a provider that lies gets by it: nothing."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from urllib.error import URLError
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from tests.auth.fake_identity_provider import FakeIdentityProvider, fake_identity_provider
from tests.auth.user_client import INVITE, Browser, invited, new_user
from tests.cli.terminal import sizewise
from tests.graphql.graphql_client import graphql
from tests.running_server import ECHO, Answer, Served, serving, until

PEOPLE = (
    {"sub": "ada", "email": "ada@example.com", "email_verified": True, "name": "Ada L", "groups": ["staff", "leads"]},
    {"sub": "bob", "email": "bob@example.com", "email_verified": False},
    {"sub": "eve", "email": "eve@example.com", "email_verified": True},
)


def start_server(name: str, issuer: str, more: str = "") -> str:
    return f"""
{ECHO}
[oidc.{name}]
issuer = "{issuer}"
client_id = "sizewise"
client_secret = "env:OIDC_SECRET"
place = "machine"
title = "Our <ID>"
{more}
"""


@contextmanager
def provider() -> Iterator[str]:
    """oidc-provider-mock, which is a whole provider, in a process of its own."""
    if find_spec("oidc_provider_mock") is None:
        pytest.skip("needs oidc-provider-mock, which needs Python 3.12: pip install oidc-provider-mock")
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "oidc_provider_mock", "-p", "0", "--require-nonce", "true"]
        + [word for each in PEOPLE for word in ("--user-claims", json.dumps(each))],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            url = ""
            while not url:
                line = process.stdout.readline()
                assert line, "the provider did not start"
                found = re.search(r"http://(?:127\.0\.0\.1|localhost):(\d+)", line)
                url = f"http://127.0.0.1:{found[1]}" if found else ""
            until(lambda: _answers(url))
            yield url
        finally:
            process.terminate()
            process.wait(60)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/.well-known/openid-configuration", timeout=60) as answer:
            return bool(answer.status == 200)
    except URLError:
        return False


def agreed(url: str, sub: str) -> str:
    """The person says who it is at the provider's page; the path of ours to which the browser is sent back."""

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_: object) -> None:
            return None

    wanted = urllib.request.Request(url, urlencode({"sub": sub}).encode())
    try:
        urllib.request.build_opener(Stay).open(wanted, timeout=60)
    except urllib.error.HTTPError as redirect:
        back = urlsplit(redirect.headers["location"])
        redirect.close()
        return f"{back.path}?{back.query}"
    raise AssertionError("the provider sent nobody back")


class Coming(Browser):
    """A browser that keeps both cookies."""

    jar: dict[str, str]

    def go(self, path: str) -> Answer:
        self.jar = getattr(self, "jar", {})
        connection = self.server.connection()
        try:
            held = "; ".join(f"{name}={value}" for name, value in self.jar.items())
            connection.request("GET", path, headers={"cookie": held} if held else {})
            got = connection.getresponse()
            for said in got.headers.get_all("set-cookie") or []:
                name, _, value = said.partition(";")[0].partition("=")
                self.jar[name] = value
            answer = Answer(got.status, {name.lower(): value for name, value in got.getheaders()}, got.read())
        finally:
            connection.close()
        self.cookie = f"sizewise={self.jar['sizewise']}" if self.jar.get("sizewise") else ""
        return answer

    def through(self, name: str, sub: str) -> Answer:
        sent = self.go(f"/auth/oidc/{name}")
        assert sent.status == 302, sent.body
        return self.go(agreed(sent.headers["location"], sub))


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with provider() as url:
        with serving(tmp_path_factory.mktemp("oidc"), start_server("id", url), OIDC_SECRET="s3cret") as served:
            yield served


@pytest.mark.long
def test_somebody_invited_comes_in_by_a_real_provider_and_later_by_its_subject(real: Served) -> None:
    assert Coming(real).through("id", "ada").status == 401, "nobody knows her"
    invited(real, "ada@example.com", "developer")
    browser = Coming(real)
    answer = browser.through("id", "ada")
    assert answer.status == 200 and b'http-equiv="refresh"' in answer.body, answer.body
    browser.send("/auth/session")
    assert (browser.said["email"], browser.said["role"], browser.said["name"]) == (
        "ada@example.com",
        "developer",
        "Ada L",
    )
    assert browser.chat().status == 200
    again = Coming(real)
    assert again.through("id", "ada").status == 200
    again.send("/auth/session")
    assert again.user == browser.user
    user = graphql(real, "{ users { id issuer password } }").data["users"][0]
    assert user["issuer"].startswith("http://127.0.0.1:") and user["password"] is False
    graphql(real, "mutation($id: String!) { disableUser(id: $id) { id } }", id=browser.user)
    assert Coming(real).through("id", "ada").status == 401


@pytest.mark.long
def test_an_address_that_is_not_verified_opens_nothing(real: Served) -> None:
    invited(real, "bob@example.com", "developer")
    refused = Coming(real).through("id", "bob")
    assert refused.status == 401 and b"not verified" in refused.body


def test_a_user_with_a_password_is_linked_by_a_verified_address_once(real: Served) -> None:
    eve = new_user(real, "eve@example.com", "developer")
    made = eve.graphql(
        'mutation { createKey(name: "mine", permissions: [ask], personal: true) { secret key { id } } }',
    ).data["createKey"]
    reset = graphql(real, INVITE, email="eve@example.com").data["inviteUser"]["token"]
    browser = Coming(real)
    assert browser.through("id", "eve").status == 200
    browser.send("/auth/session")
    assert browser.user == eve.user and browser.chat().status == 200
    lines = graphql(real, "{ audit(last: 3) { action actor after } }").data["audit"]
    line = next(each for each in lines if each["action"] == "user.link")
    assert line["actor"] == eve.user and line["after"]["revoked"] == [made["key"]["id"]]
    assert eve.send("/auth/session").status == 401, "whoever was in before had not shown that the mailbox is theirs"
    assert Browser(real).sign_in("eve@example.com").status == 401
    assert graphql(real, "{ me { key } }", key=made["secret"]).status == 401
    assert Browser(real).accept(reset).status == 403


def test_the_page_offers_the_provider_and_a_strange_one_is_told(real: Served) -> None:
    page = real.ask("/sign-in", key=None).body.decode()
    assert 'href="/auth/oidc/id"' in page and "Our &lt;ID&gt;" in page
    assert Coming(real).go("/auth/oidc/other").status == 404


@pytest.fixture(scope="module")
def lying(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, FakeIdentityProvider]]:
    with fake_identity_provider() as issuer:
        more = '[oidc.id.roles]\nleads = "admin"\nstaff = "developer"\n'
        second = f'\n[oidc.other]\nissuer = "{issuer.url}/other"\nclient_id = "x"\nplace = "machine"\n'
        config = start_server("id", issuer.url, more) + second
        with serving(tmp_path_factory.mktemp("lying"), config, OIDC_SECRET="s3c:ret/") as served:
            new_user(served, "owner@example.com", "owner")
            yield served, issuer


@pytest.fixture
def known(lying: tuple[Served, FakeIdentityProvider]) -> tuple[Served, FakeIdentityProvider]:
    """The issuer as it is when it is honest, and somebody who may come in by it."""
    server, issuer = lying
    fresh = FakeIdentityProvider(issuer.url, issuer.keys)
    for name in ("claims", "alg", "kid", "sign", "document", "published", "status", "body"):
        setattr(issuer, name, getattr(fresh, name))
    issuer.person = {"email": "owner@example.com", "sub": "owner-1", "groups": ["leads"]}
    return server, issuer


def come(server: Served, issuer: FakeIdentityProvider, browser: Coming | None = None) -> Answer:
    browser = browser or Coming(server)
    sent = browser.go("/auth/oidc/id")
    assert sent.status == 302, sent.body
    code, state = issuer.code(sent.headers["location"])
    return browser.go(f"/auth/oidc/id/callback?{urlencode({'code': code, 'state': state})}")


def test_an_honest_issuer_is_believed_with_the_secret_in_its_header(known: tuple[Served, FakeIdentityProvider]) -> None:
    server, issuer = known
    assert come(server, issuer).status == 200
    assert "client_secret" not in issuer.forms[-1]


@pytest.mark.parametrize(("alg", "kid"), [("PS256", "one"), ("RS512", "one"), ("ES256", "curve"), ("EdDSA", "edwards")])
def test_the_algorithms_that_may_be_are(known: tuple[Served, FakeIdentityProvider], alg: str, kid: str) -> None:
    server, issuer = known
    issuer.alg, issuer.kid, issuer.published = alg, kid, ["one", "curve", "edwards"]
    assert come(server, issuer).status == 200


LIES: dict[str, Callable[[FakeIdentityProvider], None]] = {
    "alg none": lambda i: setattr(i, "sign", i.unsigned),
    "HS256 with the public key": lambda i: setattr(i, "sign", i.by_public_key),
    "another audience": lambda i: i.claims.update(aud="another"),
    "two audiences without azp": lambda i: i.claims.update(aud=["sizewise", "another"]),
    "another azp": lambda i: i.claims.update(azp="another"),
    "another issuer": lambda i: i.claims.update(iss="https://id.example.com"),
    "another nonce": lambda i: i.claims.update(nonce="another"),
    "no nonce": lambda i: i.claims.update(nonce=None),
    "expired": lambda i: i.claims.update(exp=1_000_000),
    "no exp": lambda i: i.claims.update(exp=None),
    "made long ago": lambda i: i.claims.update(iat=1_000_000),
    "made tomorrow": lambda i: i.claims.update(iat=9_000_000_000),
    "no subject": lambda i: i.claims.update(sub=""),
    "a subject that is a number": lambda i: i.claims.update(sub=7),
    "a key that is not published": lambda i: setattr(i, "kid", "two"),
    "a key too small": lambda i: _small(i),
    "a signature of another key": lambda i: setattr(i, "sign", lambda c: _forged(i, c)),
    "no token": lambda i: setattr(i, "body", b'{"access_token": "x"}'),
    "no JSON": lambda i: setattr(i, "body", b"<html>"),
    "nested without end": lambda i: setattr(i, "body", b"[" * 100_000),
    "too much": lambda i: setattr(i, "body", b'{"id_token": "' + b"x" * 400_000 + b'"}'),
    "a redirect": lambda i: setattr(i, "status", 302),
    "a fault": lambda i: setattr(i, "status", 500),
    "another person's unverified address": lambda i: i.claims.update(sub="new", email_verified="true"),
    "nobody we know": lambda i: i.claims.update(sub="new", email="new@example.com"),
}


def _small(issuer: FakeIdentityProvider) -> None:
    issuer.kid, issuer.published = "small", ["small"]


def _forged(issuer: FakeIdentityProvider, claims: dict[str, object]) -> str:
    from joserfc import jwt

    return jwt.encode({"alg": "RS256", "kid": "one"}, claims, issuer.keys["two"])


@pytest.mark.parametrize("lie", LIES)
def test_cve_2015_9235_and_kin_a_lie_opens_nothing(known: tuple[Served, FakeIdentityProvider], lie: str) -> None:
    server, issuer = known
    LIES[lie](issuer)
    browser = Coming(server)
    answer = come(server, issuer, browser)
    assert answer.status in (401, 502) and not browser.cookie, answer.body
    assert b"Not signed in" in answer.body and b"eyJ" not in answer.body
    assert "/elsewhere" not in issuer.log, "no redirect is followed"


def test_a_state_is_good_once_in_one_browser_for_one_provider(known: tuple[Served, FakeIdentityProvider]) -> None:
    server, issuer = known
    mine = Coming(server)
    sent = mine.go("/auth/oidc/id")
    code, state = issuer.code(sent.headers["location"])
    back = f"/auth/oidc/id/callback?{urlencode({'code': code, 'state': state})}"
    jar = dict(mine.jar)
    assert Coming(server).go(back).status == 401, "another browser"
    assert mine.go(back).status == 200
    mine.jar = jar
    assert mine.go(back).status == 401, "replayed"
    for wrong in ("", "x" * 43):
        other = Coming(server)
        sent = other.go("/auth/oidc/id")
        code, _ = issuer.code(sent.headers["location"])
        assert other.go(f"/auth/oidc/id/callback?{urlencode({'code': code, 'state': wrong})}").status == 401


def test_a_mix_up_of_two_providers_is_seen(known: tuple[Served, FakeIdentityProvider]) -> None:
    server, issuer = known
    browser = Coming(server)
    code, state = issuer.code(browser.go("/auth/oidc/id").headers["location"])
    query = {"code": code, "state": state}
    assert browser.go(f"/auth/oidc/other/callback?{urlencode(query)}").status == 401
    browser = Coming(server)
    code, state = issuer.code(browser.go("/auth/oidc/id").headers["location"])
    query = {"code": code, "state": state, "iss": "https://evil.example"}
    before = len(issuer.forms)
    assert browser.go(f"/auth/oidc/id/callback?{urlencode(query)}").status == 401
    assert len(issuer.forms) == before, "the code was sent to nobody"


def test_who_says_no_or_sends_nonsense_is_not_signed_in(known: tuple[Served, FakeIdentityProvider]) -> None:
    server, issuer = known
    for query in ("error=access_denied", "", "code=", "&" * 200, "code=%ff&x=" + "y" * 20_000):
        browser = Coming(server)
        _, state = issuer.code(browser.go("/auth/oidc/id").headers["location"])
        assert browser.go(f"/auth/oidc/id/callback?state={state}&{query}").status in (401, 502), query
        assert not browser.cookie


def test_the_cookie_between_going_and_coming_is_lax_and_short(known: tuple[Served, FakeIdentityProvider]) -> None:
    server, _ = known
    sent = Coming(server).go("/auth/oidc/id")
    assert "SameSite=Lax" in sent.headers["set-cookie"] and "HttpOnly" in sent.headers["set-cookie"]
    asked = parse_qs(urlsplit(sent.headers["location"]).query)
    assert asked["code_challenge_method"] == ["S256"] and len(asked["state"][0]) >= 43 <= len(asked["nonce"][0])
    assert asked["redirect_uri"] == [f"{server.url}/auth/oidc/id/callback"]


def test_roles_follow_the_claim_but_the_last_owner_stays(known: tuple[Served, FakeIdentityProvider]) -> None:
    server, issuer = known
    owner = Coming(server)
    assert come(server, issuer, owner).status == 200
    owner.send("/auth/session")
    assert owner.said["role"] == "owner"
    invited(server, "led@example.com", "viewer")
    issuer.person = {"email": "led@example.com", "sub": "led-1", "groups": ["staff", "leads"]}
    led = Coming(server)
    come(server, issuer, led)
    led.send("/auth/session")
    assert led.said["role"] == "admin", "the first of the settings that fits"
    issuer.person = {"email": "led@example.com", "sub": "led-1", "groups": "staff"}
    come(server, issuer, led)
    led.send("/auth/session")
    assert led.said["role"] == "developer"


@pytest.mark.long
def test_keys_that_changed_are_fetched_again_once(tmp_path: Path) -> None:
    with (
        fake_identity_provider() as issuer,
        serving(tmp_path, start_server("id", issuer.url), OIDC_SECRET="x") as server,
    ):
        invited(server, "ada@example.com", "viewer")
        issuer.person = {"email": "ada@example.com"}
        assert come(server, issuer).status == 200
        before = issuer.log.count("/jwks")
        issuer.published, issuer.kid = ["two"], "two"
        assert come(server, issuer).status == 200
        assert issuer.log.count("/jwks") == before + 1
        issuer.kid = "one"
        assert [come(server, issuer).status for _ in range(8)] == [401] * 8
        assert issuer.log.count("/jwks") <= before + 5, "whoever sends strange tokens does not make us ask for ever"
        assert issuer.log.count("/.well-known/openid-configuration") == 1


@pytest.mark.long
def test_an_endpoint_elsewhere_is_asked_only_where_it_was_declared(tmp_path: Path) -> None:
    with fake_identity_provider() as issuer, fake_identity_provider() as other:
        issuer.document = {"token_endpoint": f"{other.url}/token"}
        with serving(tmp_path, start_server("id", issuer.url), OIDC_SECRET="x") as server:
            refused = come(server, issuer)
            assert refused.status == 403 and other.log == []


@pytest.mark.long
def test_an_issuer_that_says_it_is_another_is_not_believed(tmp_path: Path) -> None:
    with fake_identity_provider() as issuer:
        issuer.document = {"issuer": "https://id.example.com"}
        with serving(tmp_path, start_server("id", issuer.url), OIDC_SECRET="x") as server:
            assert Coming(server).go("/auth/oidc/id").status == 401


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ('issuer = "https://x"', "oidc.id.client_id: is missing"),
        ('client_id = "x"', "oidc.id.issuer: is missing"),
        ('issuer = "https://x"\nclient_id = "x"\nclient_secret = "plain"', "by reference"),
        ('issuer = "https://x"\nclient_id = "x"\nscopes = ["email"]', "must include 'openid'"),
        ('issuer = "https://x"\nclient_id = "x"\nroles = {a = "admn"}', "Did you mean 'admin'?"),
    ],
)
def test_settings_that_cannot_be_are_told(tmp_path: Path, wrong: str, says: str) -> None:
    (tmp_path / "sizewise.toml").write_text(f"{ECHO}\n[oidc.id]\n{wrong}\n")
    done = sizewise("up", "--port", "0", "--config", str(tmp_path / "sizewise.toml"), home=tmp_path)
    assert done.code == 2 and says in done.err
