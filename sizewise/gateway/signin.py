"""/auth/...: people sign in and out, come in by an invitation, and are told who they are; JSON and a cookie.

The cookie holds 256 random bits and nothing else; it is out of reach of scripts, of other hosts and of other sites'
pages. What it opens, and what it needs beside itself, is exchange.py's.
"""

from __future__ import annotations

from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Struct

from sizewise.app.application import House
from sizewise.auth.browser_security import COOKIE, cookie, demand_ours, encrypted, far_end, meant
from sizewise.auth.sessions import NewSession, csrf
from sizewise.auth.users.passwords import MOST
from sizewise.auth.users.tables import Session, User
from sizewise.errors import BadBody, BadKey, SignInRefused
from sizewise.gateway.request_context import JSON, Headers, Knock, Out, traced
from sizewise.principal import Caller

T = TypeVar("T", bound=Struct)

Password = Annotated[str, Meta(max_length=4 * MOST)]
Name = Annotated[str, Meta(max_length=100)]
PRIVATE = (b"cache-control", b"no-store")
_REFUSED = "no one has this address and this password"
_HINT = "whoever manages users can invite you to a new password"


class SignIn(Struct, forbid_unknown_fields=True):
    email: Annotated[str, Meta(max_length=254)]
    password: Password
    project: Name = ""


class AcceptInvitation(Struct, forbid_unknown_fields=True):
    """An invitation, and who comes in by it. Without a name an earlier one stays."""

    token: Annotated[str, Meta(min_length=20, max_length=200)]
    password: Password
    name: Name = ""


class ProjectSwitch(Struct, forbid_unknown_fields=True):
    project: Name


class PasswordChange(Struct, forbid_unknown_fields=True):
    """A new password in the place of the current one."""

    current: Password
    password: Password


class SignInSession(Struct):
    """Times are unix ms. `csrf` goes as x-sizewise-csrf with whatever is not a GET."""

    session: str
    user: str
    email: str
    name: str
    organization: str
    project: str
    projects: list[str]
    role: str
    permissions: list[str]
    all_projects: bool
    csrf: str
    expires: int


async def sign_in(house: House, seen: Knock, body: bytes, out: Out) -> None:
    """Raises SignInRefused, in the same words and after the same time whatever is wrong; Busy after too many tries."""
    wanted = _read(body, SignIn)
    _from_our_page(house, seen)
    means, address = house.means, _address(house, seen)
    account = wanted.email.strip().lower()
    means.keeper.users.throttle.take(account, address)
    user = means.keeper.users.by_email(account)
    fits = await means.keeper.users.passwords.fits(wanted.password, user.password if user else "")
    if user is None or not fits or user.disabled is not None:
        if user is not None:
            means.keeper.sessions.refused(user, SignInRefused.code)
        raise SignInRefused(_REFUSED, _HINT)
    means.keeper.users.throttle.forgive(account, address)
    made = await means.keeper.sessions.begin(user, house.settings.login_sessions.max_age_s, wanted.project)
    await welcome(house, seen, out, made)


async def invitation(house: House, seen: Knock, body: bytes, out: Out) -> None:
    """Comes in by an invitation. Raises Forbidden, BadRequest (password), Conflict, Busy."""
    wanted = _read(body, AcceptInvitation)
    _from_our_page(house, seen)
    users, address = house.means.keeper.users, _address(house, seen)
    users.throttle.take("", address)
    user = await users.accept(wanted.token, printable(wanted.name), wanted.password)
    users.throttle.forgive("", address)
    made = await house.means.keeper.sessions.begin(user, house.settings.login_sessions.max_age_s, how="invitation")
    await welcome(house, seen, out, made)


async def sign_out(house: House, seen: Knock, body: bytes, out: Out) -> None:
    """Nobody is signed in afterwards, with this cookie, here or elsewhere. Raises Forbidden."""
    try:
        caller, session, _ = here(house, seen)
    except BadKey:
        _from_our_page(house, seen)
    else:
        await house.means.keeper.sessions.end(session, caller)
    gone = set_cookie(house, seen, "", 0)
    await out.whole(200, [JSON, PRIVATE, gone, *traced(seen.trace)], b'{"signed_out":true}')


async def session(house: House, seen: Knock, body: bytes, out: Out) -> None:
    """Who is signed in. Raises BadKey."""
    caller, its, token = here(house, seen)
    await _tell(house, seen, out, caller, its, token)


async def move(house: House, seen: Knock, body: bytes, out: Out) -> None:
    """The same session in another project. Raises UnknownPath, BadKey, Forbidden."""
    caller, its, token = here(house, seen)
    moved = await house.means.keeper.sessions.move(its, _read(body, ProjectSwitch).project, caller)
    caller, _ = house.means.keeper.accounts.keys.session(token)
    await _tell(house, seen, out, caller, moved, token)


async def password(house: House, seen: Knock, body: bytes, out: Out) -> None:
    """A new password for whoever is signed in and knows the old one; every session of theirs ends but a new one here.
    Raises BadKey, Forbidden, SignInRefused, BadRequest, Busy."""
    _, its, _ = here(house, seen)
    wanted = _read(body, PasswordChange)
    users, address = house.means.keeper.users, _address(house, seen)
    user = users.one(its.user, its.tenant)
    users.throttle.take(user.email, address)
    if not await users.passwords.fits(wanted.current, user.password):
        raise SignInRefused("this is not the current password", _HINT)
    users.throttle.forgive(user.email, address)
    await users.change_password(user, wanted.password)
    made = await house.means.keeper.sessions.begin(user, house.settings.login_sessions.max_age_s, its.project)
    await welcome(house, seen, out, made)


def here(house: House, seen: Knock) -> tuple[Caller, Session, str]:
    """Who is signed in, and the token by which. Raises BadKey, Forbidden."""
    meant(seen.host, house.hosts)
    token = cookie(seen.headers, secure(house, seen))
    caller, its = house.means.keeper.accounts.keys.session(token)
    if not seen.safe:
        demand_ours(seen.headers, seen.host, token)
    return caller, its, token


async def welcome(house: House, seen: Knock, out: Out, made: NewSession) -> None:
    """Tells who came in, and gives the cookie."""
    caller, _ = house.means.keeper.accounts.keys.session(made.token)
    given = set_cookie(house, seen, made.token, house.settings.login_sessions.max_age_s)
    await _tell(house, seen, out, caller, made.session, made.token, [given])


async def _tell(
    house: House, seen: Knock, out: Out, caller: Caller, its: Session, token: str, more: Headers | None = None
) -> None:
    standing = house.means.keeper.accounts.keys.standing
    user: User = standing.users[its.user]
    shown = SignInSession(
        its.id,
        user.id,
        user.email,
        user.name,
        user.tenant,
        its.project,
        sorted(standing.projects(user.id)),
        user.role,
        sorted(caller.may),
        caller.wide,
        csrf(token),
        its.expires,
    )
    await out.whole(200, [JSON, PRIVATE, *(more or []), *traced(seen.trace)], msgspec.json.encode(shown))


def set_cookie(
    house: House, seen: Knock, value: str, lasts_s: float, name: str = COOKIE, site: str = "Strict"
) -> tuple[bytes, bytes]:
    """Strict: no page of another site, nor a link in a letter, has it sent along. `lasts_s` 0 takes it back."""
    tls = secure(house, seen)
    named, only = (f"__Host-{name}", "; Secure") if tls else (name, "")
    said = f"{named}={value}; Path=/; Max-Age={int(lasts_s)}; HttpOnly; SameSite={site}{only}"
    return (b"set-cookie", said.encode("ascii"))


def secure(house: House, seen: Knock) -> bool:
    return encrypted(seen.secure, seen.address, seen.headers, house.settings.server.trusted_proxies)


def printable(name: str) -> str:
    return "".join(c for c in name if c.isprintable()).strip()


def _address(house: House, seen: Knock) -> str:
    return far_end(seen.address, seen.headers, house.settings.server.trusted_proxies)


def _from_our_page(house: House, seen: Knock) -> None:
    meant(seen.host, house.hosts)
    demand_ours(seen.headers, seen.host)


def _read(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        known = ", ".join(kind.__struct_encode_fields__)
        raise BadBody(f"invalid body: {error}", f"send JSON with {known}") from error
