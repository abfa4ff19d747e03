"""/auth/oidc/NAME and its callback: a browser goes to an identity provider and comes back signed in, if known here."""

from __future__ import annotations

import logging
from html import escape

from sizewise.app.application import House
from sizewise.auth.browser_security import cookie, encrypted, far_end, meant
from sizewise.auth.oidc import Person
from sizewise.auth.users.tables import User
from sizewise.errors import Conflict, SignInRefused, SizewiseError
from sizewise.gateway.request_context import Knock, Out, traced
from sizewise.gateway.signin import PRIVATE, set_cookie
from sizewise.gateway.signin_page import SAFE, said
from sizewise.principal import Caller
from sizewise.settings.auth import Oidc

log = logging.getLogger("sizewise.gateway")

BEGUN = "sizewise-oidc"
"""The cookie between going and coming back; Lax, for one comes back from another site."""
BEGUN_S = 600


async def begin(house: House, seen: Knock, body: bytes, out: Out) -> None:
    """GET /auth/oidc/NAME: the name comes in as the body, taken from the path."""
    meant(seen.host, house.hosts)
    name, users = body.decode("utf-8", "replace"), house.means.keeper.users
    try:
        users.throttle.take("", far_end(seen.address, seen.headers, house.settings.server.trusted_proxies))
        url, held = await users.relying.begin(name, _redirect(house, seen, name))
    except SizewiseError as error:
        return await _refused(house, seen, out, error)
    to = [(b"location", url.encode("ascii", "replace")), set_cookie(house, seen, held, BEGUN_S, BEGUN, "Lax")]
    await out.whole(302, [*to, PRIVATE, *traced(seen.trace)], b"")


async def callback(house: House, seen: Knock, body: bytes, out: Out) -> None:
    """GET /auth/oidc/NAME/callback. The answer is a page that leads on, not a redirect: what a page of ours leads to
    is sent our cookie, what another site's redirect leads to is not."""
    meant(seen.host, house.hosts)
    name, keeper = body.decode("utf-8", "replace"), house.means.keeper
    held = cookie(
        seen.headers, encrypted(seen.secure, seen.address, seen.headers, house.settings.server.trusted_proxies), BEGUN
    )
    try:
        row = keeper.users.relying.provider(name).row
        came = await keeper.users.relying.finish(
            name, held, seen.query.decode("ascii", "replace"), _redirect(house, seen, name)
        )
        user = await _known(house, name, row, came)
        keeper.users.throttle.forgive("", far_end(seen.address, seen.headers, house.settings.server.trusted_proxies))
        made = await keeper.sessions.begin(user, house.settings.login_sessions.max_age_s, how=f"oidc:{name}")
    except SizewiseError as error:
        return await _refused(house, seen, out, error)
    after = house.settings.login_sessions.redirect_path
    page = said("Signed in", "One moment.", after, f'<meta http-equiv="refresh" content="0;url={escape(after)}">')
    given = [
        set_cookie(house, seen, made.token, house.settings.login_sessions.max_age_s),
        set_cookie(house, seen, "", 0, BEGUN, "Lax"),
    ]
    await out.whole(200, [*SAFE, *given, *traced(seen.trace)], page)


async def _known(house: House, name: str, row: Oidc, came: Person) -> User:
    """Raises SignInRefused for whoever is neither here nor invited."""
    users, tenant = house.means.keeper.users, row.organization
    user = users.by_subject(tenant, came.issuer, came.subject)
    if user is None and came.email:
        user = await users.link(tenant, came.email, came.name, came.issuer, came.subject)
    if user is None:
        why = "nobody was invited under this address" if came.email else "your address is not verified there"
        raise SignInRefused(f"you have no account here: {why}", "ask whoever manages users to invite you")
    return await _with_role(house, name, row, came, user)


async def _with_role(house: House, name: str, row: Oidc, came: Person, user: User) -> User:
    """Where the settings say so, the provider knows who is what."""
    users = house.means.keeper.users
    role = next((role for value, role in row.roles.items() if value in came.groups), "")
    if not row.roles or role == user.role:
        return user
    try:
        await users.give(user.id, user.tenant, role, "", Caller(key=f"oidc:{name}", tenant=user.tenant))
    except Conflict:
        log.warning("%s keeps its role although %s says otherwise: an organisation keeps an owner", user.id, name)
    return users.one(user.id, user.tenant)


async def _refused(house: House, seen: Knock, out: Out, error: SizewiseError) -> None:
    house.means.metrics.refused(error.code)
    page = said("Not signed in", f"{error.message}. {error.hint}".strip(), "/sign-in")
    gone = set_cookie(house, seen, "", 0, BEGUN, "Lax")
    await out.whole(error.status, [*SAFE, gone, *traced(seen.trace)], page)


def _redirect(house: House, seen: Knock, name: str) -> str:
    tls = encrypted(seen.secure, seen.address, seen.headers, house.settings.server.trusted_proxies)
    return f"{'https' if tls else 'http'}://{seen.host}/auth/oidc/{name}/callback"
