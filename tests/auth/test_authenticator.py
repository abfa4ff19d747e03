"""Who may come in: only whole, living keys, and nothing on the disk that would let anybody else in."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from msgspec.structs import replace

from sizewise.app.services import open_services
from sizewise.auth.authenticator import Authenticator, generate_key, load_or_create_admin_token
from sizewise.auth.permissions import ACTIONS, BUILTIN_ROLES, expand_actions
from sizewise.auth.revocation import RevocationMiddleware
from sizewise.auth.users.effective_roles import NO_RULE, SecondFactorRule
from sizewise.auth.users.tables import Membership, Session, User, UserSnapshot
from sizewise.errors import BadRequest, ConfigError, ExternalFailure, InvalidApiKey, PathNotFound
from sizewise.handler import Request, Send, discard_events
from sizewise.messages import ChatRequest, Reply, Usage
from sizewise.principal import Principal
from tests.running_server import until

ADA = User(
    id="us-ada",
    tenant="local",
    email="ada@example.com",
    name="Ada",
    role="",
    password="",
    issuer=None,
    subject=None,
    created=0,
)
SESSION = Session(
    id="ss-ada",
    tenant="local",
    user="us-ada",
    digest="00",
    project="A",
    created=0,
    seen=0,
    expires=2**50,
    method="password",
)
MEMBER = tuple(Membership("local", "us-ada", project, "developer") for project in ("A", "B"))


async def test_a_key_is_its_owner_and_carries_what_it_may(tmp_path: Path) -> None:
    with open_services(tmp_path) as services:
        made = await services.api_keys.create("shop", "web", ["ask", "read"], data_class="internal")
        principal = services.api_keys.authenticator.authenticate(made.text)
        assert services.api_keys.authenticator.is_valid(principal)
    assert (principal.tenant, principal.project, principal.name, principal.data_class) == (
        "local",
        "shop",
        "web",
        "internal",
    )
    assert principal.permissions == expand_actions(["ask", "read"]) - {"read_metrics"}, "which tell of the whole server"
    assert made.text.startswith(principal.key_id) and len(made.text) - len(principal.key_id) >= 43, (
        "256 bits behind the id"
    )


def test_only_the_whole_key_opens(tmp_path: Path) -> None:
    with open_services(tmp_path) as services:
        text = services.api_keys.ensure_first_key()
        for wrong in ("", " ", text[:-1], text + "x", text[:11], text.swapcase(), "ключ", "\ud800", "x" * 1_000_000):
            with pytest.raises(InvalidApiKey) as refused:
                services.api_keys.authenticator.authenticate(wrong)
            assert "sizewise up" in refused.value.hint
            assert not wrong.strip() or wrong not in refused.value.message


async def test_no_file_under_the_home_holds_a_key_but_the_admin_token(tmp_path: Path) -> None:
    with open_services(tmp_path) as services:
        texts = [services.api_keys.ensure_first_key(), (await services.api_keys.create()).text]
        for path in tmp_path.iterdir():
            assert not any(text[11:].encode() in path.read_bytes() for text in texts), path
            assert path.stat().st_mode & 0o077 == 0, f"others can read {path.name}"


async def test_keys_survive_a_restart_and_a_revoked_one_is_refused_at_once_and_for_good(tmp_path: Path) -> None:
    with open_services(tmp_path) as services:
        first, second = await services.api_keys.create(), await services.api_keys.create()
        principal, version = services.api_keys.authenticator.authenticate(first.text), services.api_keys.version
        await services.api_keys.revoke(first.key.id)
        assert services.api_keys.version > version
        assert not services.api_keys.authenticator.is_valid(principal), "a stream that began before can see it"
        with pytest.raises(InvalidApiKey):
            services.api_keys.authenticator.authenticate(first.text)
    with open_services(tmp_path) as services:
        assert services.api_keys.authenticator.authenticate(second.text).key_id == second.key.id
        with pytest.raises(InvalidApiKey):
            services.api_keys.authenticator.authenticate(first.text)
        listed = await services.api_keys.list()
    assert [(key.id, key.revoked is not None) for key in listed] == [(first.key.id, True), (second.key.id, False)]
    assert {key.digest for key in listed} == {""}


async def test_a_key_of_another_tenant_cannot_be_revoked_or_seen(tmp_path: Path) -> None:
    with open_services(tmp_path) as services:
        theirs = await services.api_keys.create(tenant="theirs")
        with pytest.raises(PathNotFound, match=theirs.key.id):
            await services.api_keys.revoke(theirs.key.id, tenant="mine")
        assert await services.api_keys.list("mine") == []
        assert services.api_keys.authenticator.authenticate(theirs.text).tenant == "theirs"


async def test_an_expired_key_is_refused(tmp_path: Path) -> None:
    with open_services(tmp_path) as services:
        made = await services.api_keys.create(expires=time.time_ns() // 1_000_000 + 150)
        principal = services.api_keys.authenticator.authenticate(made.text)
        until(lambda: not services.api_keys.authenticator.is_valid(principal))
        with pytest.raises(InvalidApiKey, match="expired"):
            services.api_keys.authenticator.authenticate(made.text)


def test_senseless_keys_are_not_made() -> None:
    with pytest.raises(BadRequest, match="at least one permission"):
        generate_key(may=[])
    with pytest.raises(BadRequest, match="in the past: 1"):
        generate_key(expires=1)
    with pytest.raises(BadRequest) as refused:
        generate_key(may=["reed"])
    assert refused.value.hint == "Did you mean 'read'?"


def test_an_older_state_never_replaces_a_newer_one() -> None:
    key, text = generate_key()
    keys = Authenticator()
    keys.load(2, [])
    keys.load(1, [key])
    with pytest.raises(InvalidApiKey):
        keys.authenticate(text)


def test_a_key_revoked_while_new_settings_are_prepared_stays_revoked() -> None:
    key, text = generate_key()
    keys = Authenticator()
    keys.load(1, [key])
    apply = keys.prepare(BUILTIN_ROLES, 60.0)
    keys.load(2, [])
    apply()
    with pytest.raises(InvalidApiKey):
        keys.authenticate(text)


def people(snapshot: UserSnapshot, rule: SecondFactorRule = NO_RULE) -> Authenticator:
    keys = Authenticator("sw-admin-token")
    keys.prepare(BUILTIN_ROLES, 60.0, second_factor=rule)()
    keys.load(1, [], snapshot)
    return keys


@pytest.mark.parametrize(
    ("sessions", "rule"),
    [
        ((SESSION,), NO_RULE),
        ((replace(SESSION, expires=1),), NO_RULE),
        ((replace(SESSION, project="B"),), NO_RULE),
        ((SESSION,), SecondFactorRule(of_everyone=True)),
        ((), NO_RULE),
    ],
    ids=["live", "expired", "in another project", "without the second factor", "gone"],
)
def test_what_a_session_started_goes_on_as_its_user(sessions: tuple[Session, ...], rule: SecondFactorRule) -> None:
    keys = people(UserSnapshot((ADA,), MEMBER, sessions), rule)
    found = keys.reauthenticate("ss-ada", "us-ada", "local", "A")
    assert found is not None
    assert (found.key_id, found.user_id, found.project, found.all_projects) == ("ss-ada", "us-ada", "A", False)
    assert found.permissions == BUILTIN_ROLES["developer"]


@pytest.mark.parametrize(
    "snapshot",
    [
        UserSnapshot((replace(ADA, disabled=1),), MEMBER, (SESSION,)),
        UserSnapshot((ADA,), MEMBER[1:], (SESSION,)),
        UserSnapshot((), (), (SESSION,)),
        UserSnapshot((replace(ADA, tenant="other"),), MEMBER, (SESSION,)),
    ],
    ids=["disabled", "no longer in the project", "removed", "of another organization"],
)
def test_what_a_session_started_ends_with_its_users_access(snapshot: UserSnapshot) -> None:
    assert people(snapshot).reauthenticate("ss-ada", "us-ada", "local", "A") is None


def test_what_a_session_started_has_the_permissions_that_its_user_has_now() -> None:
    keys = people(UserSnapshot((ADA,), (replace(MEMBER[0], role="viewer"),), (SESSION,)))
    found = keys.reauthenticate("ss-ada", "us-ada", "local", "A")
    assert found is not None and "ask" not in found.permissions


def fate(keys: Authenticator, principal: Principal, change: Callable[[], None]) -> str:
    """What becomes of a model call of `principal` during which `change` happens."""

    async def model(request: Request, send: Send) -> Reply:
        change()
        await asyncio.sleep(0.01)
        return Reply((), Usage())

    async def scene() -> str:
        request = Request(ChatRequest("", [], {}), principal, "0" * 32, 0.0)
        try:
            await RevocationMiddleware(model, keys)(request, discard_events)
        except InvalidApiKey:
            return "stopped"
        return "answered"

    return asyncio.run(scene())


@pytest.mark.parametrize(
    ("snapshot", "direct", "stored"),
    [
        (UserSnapshot((ADA,), MEMBER, (SESSION,)), "answered", "answered"),
        (UserSnapshot((ADA,), MEMBER), "stopped", "answered"),
        (UserSnapshot((ADA,), (replace(MEMBER[0], role="viewer"),), (SESSION,)), "stopped", "stopped"),
        (UserSnapshot((replace(ADA, disabled=1),), MEMBER), "stopped", "stopped"),
    ],
    ids=["another signs in", "signed out", "may no longer ask", "disabled"],
)
def test_a_call_in_flight_of_a_session_ends_with_it_and_one_of_its_runs_with_the_user(
    snapshot: UserSnapshot, direct: str, stored: str
) -> None:
    for expected, outlives_session in ((direct, False), (stored, True)):
        keys = people(UserSnapshot((ADA,), MEMBER, (SESSION,)))
        caller = keys.principal_by_key_id("ss-ada")
        if outlives_session:
            found = keys.reauthenticate("ss-ada", "us-ada", "local", "A")
            assert found is not None and found == replace(caller, outlives_session=True)
            caller = found
        assert fate(keys, caller, partial(keys.load, 2, [], snapshot)) == expected


def test_the_expiry_of_a_session_stops_its_own_calls_and_not_those_of_its_runs() -> None:
    keys = people(UserSnapshot((ADA,), MEMBER, (replace(SESSION, expires=1),)))
    found = keys.reauthenticate("ss-ada", "us-ada", "local", "A")
    assert found is not None
    assert fate(keys, found, lambda: None) == "answered"
    assert fate(keys, replace(found, outlives_session=False), lambda: None) == "stopped"


def test_what_a_key_started_ends_with_the_key() -> None:
    key, text = generate_key(project="A", user="us-ada")
    keys = people(UserSnapshot((ADA,), MEMBER))
    keys.load(2, [key], UserSnapshot((ADA,), MEMBER))
    assert keys.reauthenticate(key.id, "us-ada", "local", "A") == keys.authenticate(text)
    assert keys.reauthenticate("admin", "", "local", "A") == keys.authenticate("sw-admin-token")
    keys.load(3, [replace(key, expires=1)], UserSnapshot((ADA,), MEMBER))
    assert keys.reauthenticate(key.id, "us-ada", "local", "A") is None
    keys.load(4, [], UserSnapshot((ADA,), MEMBER))
    assert keys.reauthenticate(key.id, "us-ada", "local", "A") is None


def test_the_first_key_is_made_once_and_a_brought_one_takes_its_place(tmp_path: Path) -> None:
    brought, later = "correct-horse-battery-staple-1", "another-horse-battery-staple-2"
    with open_services(tmp_path / "a") as services:
        first = services.api_keys.ensure_first_key()
        assert services.api_keys.authenticator.authenticate(first).name == "first"
        assert services.api_keys.ensure_first_key() == ""
    with open_services(tmp_path / "b") as services:
        assert services.api_keys.ensure_first_key(brought) == ""
        assert services.api_keys.authenticator.authenticate(brought).permissions == expand_actions(["ask", "read"])
        assert services.api_keys.ensure_first_key(brought) == services.api_keys.ensure_first_key() == ""
        assert services.api_keys.ensure_first_key(later) == ""
        assert services.api_keys.authenticator.authenticate(later)
        with pytest.raises(InvalidApiKey):
            services.api_keys.authenticator.authenticate(brought)
        with pytest.raises(ConfigError, match="was revoked"):
            services.api_keys.ensure_first_key(brought)


def test_the_admin_token_is_made_once_for_its_owner_alone_and_may_everything(tmp_path: Path) -> None:
    with open_services(tmp_path) as services:
        token = (tmp_path / "admin.token").read_text().strip()
        assert (services.admin_token, (tmp_path / "admin.token").stat().st_mode & 0o777) == (token, 0o600)
        assert services.api_keys.authenticator.authenticate(token).permissions == set(ACTIONS)
        assert services.api_keys.authenticator.is_valid(services.api_keys.authenticator.authenticate(token))
    with open_services(tmp_path) as services:
        assert services.admin_token == token


def test_an_admin_token_that_others_can_read_or_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "admin.token"
    load_or_create_admin_token(tmp_path)
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="other users") as refused:
        open_services(tmp_path)
    assert "chmod 600" in refused.value.hint
    path.chmod(0o600)
    path.write_text("\n")
    with pytest.raises(ConfigError, match="not contain an admin token"):
        open_services(tmp_path)
    path.unlink()
    open_services(tmp_path).close()


def test_the_admin_token_is_not_read_through_a_link(tmp_path: Path) -> None:
    os.symlink("/etc/passwd", tmp_path / "admin.token")
    with pytest.raises(ExternalFailure, match="cannot read"):
        load_or_create_admin_token(tmp_path)
