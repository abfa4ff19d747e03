"""/auth/oidc/NAME and its callback: sign-in with an OpenID Connect provider, for existing or invited users."""

from __future__ import annotations

import logging
from html import escape

from msgspec.structs import replace

from sizewise.app.application import Application
from sizewise.auth.browser_security import check_host, client_address, is_https, read_cookie
from sizewise.auth.oidc import OidcIdentity, mapped_role
from sizewise.auth.sign_in_sessions import Sessions
from sizewise.auth.user_accounts import UserAccounts
from sizewise.auth.users.tables import User
from sizewise.errors import Conflict, SignInFailed, SizewiseError
from sizewise.gateway.request_head import RequestHead
from sizewise.gateway.response_writer import ResponseWriter, trace_headers
from sizewise.gateway.signin import NO_STORE, set_cookie, sign_in_origin
from sizewise.gateway.signin_page import SECURITY_HEADERS, message_page
from sizewise.principal import Principal
from sizewise.settings.auth import OidcSettings

log = logging.getLogger("sizewise.gateway")

PENDING_COOKIE = "sizewise-oidc"
"""The cookie during sign-in; SameSite=Lax, because the callback comes from another site."""
PENDING_COOKIE_S = 600


class OidcEndpoints:
    """The route handlers of /auth/oidc."""

    def __init__(self, users: UserAccounts, sessions: Sessions) -> None:
        self._users = users
        self._sessions = sessions

    async def start_sign_in(self, app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
        """GET /auth/oidc/NAME: `body` is the name from the path."""
        check_host(head.host, app.allowed_hosts)
        name = body.decode("utf-8", "replace")
        try:
            await self._users.login_throttle.record_attempt(
                "",
                client_address(head.peer_address, head.headers, app.settings.server.trusted_proxies),
            )
            url, held = await self._users.relying_party.start_sign_in(name, _redirect_uri(app, head, name))
        except SizewiseError as error:
            return await _send_failure_page(app, head, writer, error)
        to = [
            (b"location", url.encode("ascii", "replace")),
            set_cookie(app, head, held, PENDING_COOKIE_S, PENDING_COOKIE, "Lax"),
        ]
        await writer.send_response(302, [*to, NO_STORE, *trace_headers(head.trace)], b"")

    async def complete_sign_in(self, app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
        """GET /auth/oidc/NAME/callback. Answers with a page that redirects: a browser sends our SameSite=Strict cookie
        after our own page, but not after a redirect from another site.
        """
        check_host(head.host, app.allowed_hosts)
        name = body.decode("utf-8", "replace")
        held = read_cookie(
            head.headers,
            is_https(head.secure, head.peer_address, head.headers, app.settings.server.trusted_proxies),
            PENDING_COOKIE,
        )
        try:
            row = self._users.relying_party.provider(name).settings
            came = await self._users.relying_party.complete_sign_in(
                name,
                held,
                head.query_string.decode("ascii", "replace"),
                _redirect_uri(app, head, name),
            )
            user = await self._find_or_link_user(name, row, came)
            await self._users.login_throttle.record_success(
                "",
                client_address(head.peer_address, head.headers, app.settings.server.trusted_proxies),
            )
            origin = replace(sign_in_origin(app, head, f"oidc:{name}"), issuer=came.issuer, issuer_session=came.session)
            made = await self._sessions.start(user, app.settings.login_sessions.max_age_s, origin)
        except SizewiseError as error:
            return await _send_failure_page(app, head, writer, error)
        after = app.settings.login_sessions.redirect_path
        page = message_page(
            "Signed in",
            "One moment.",
            after,
            f'<meta http-equiv="refresh" content="0;url={escape(after)}">',
        )
        given = [
            set_cookie(app, head, made.token, app.settings.login_sessions.max_age_s),
            set_cookie(app, head, "", 0, PENDING_COOKIE, "Lax"),
        ]
        await writer.send_response(200, [*SECURITY_HEADERS, *given, *trace_headers(head.trace)], page)

    async def _find_or_link_user(self, name: str, settings: OidcSettings, identity: OidcIdentity) -> User:
        """Raises SignInFailed if the user neither exists nor is invited."""
        tenant = settings.organization
        user = self._users.find_by_subject(tenant, identity.issuer, identity.subject)
        if user is None and identity.email:
            user = await self._users.link_identity(
                tenant, identity.email, identity.name, identity.issuer, identity.subject
            )
        if user is None:
            unverified = "the identity provider has not verified your address"
            why = "there is no invitation for your address" if identity.email else unverified
            raise SignInFailed(f"you have no account here: {why}", "ask an administrator to invite you")
        return await self._sync_role(name, settings, identity, user)

    async def _sync_role(self, name: str, settings: OidcSettings, identity: OidcIdentity, user: User) -> User:
        """Takes the user's role from the provider's groups, if the settings map them. A token that says nothing of
        groups changes no role, and one with none takes it.
        """
        if not settings.roles or identity.groups is None:
            return user
        mapped = mapped_role(settings.roles, identity.groups)
        role = mapped.role if mapped else ""
        if role == user.role:
            return user
        try:
            await self._users.set_role(
                user.id, user.tenant, role, "", Principal(key_id=f"oidc:{name}", tenant=user.tenant)
            )
        except Conflict:
            log.warning("%s keeps the role owner, against the groups of %s: it is the last owner", user.id, name)
        return self._users.get(user.id, user.tenant)


async def _send_failure_page(app: Application, head: RequestHead, writer: ResponseWriter, error: SizewiseError) -> None:
    app.resources.metrics.count_rejection(error.code)
    page = message_page("Not signed in", f"{error.message}. {error.hint}".strip(), "/sign-in")
    gone = set_cookie(app, head, "", 0, PENDING_COOKIE, "Lax")
    await writer.send_response(error.status, [*SECURITY_HEADERS, gone, *trace_headers(head.trace)], page)


def _redirect_uri(app: Application, head: RequestHead, name: str) -> str:
    tls = is_https(head.secure, head.peer_address, head.headers, app.settings.server.trusted_proxies)
    return f"{'https' if tls else 'http'}://{head.host}/auth/oidc/{name}/callback"
