"""/auth/link: creates a one-time sign-in link for the admin token on this machine, and redeems it for a session."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from sizewise.app.application import Application
from sizewise.auth.sign_in_links import NewSignInLink, SignInLinks
from sizewise.auth.user_accounts import UserAccounts
from sizewise.errors import BadRequest, Forbidden
from sizewise.gateway.request_head import RequestHead
from sizewise.gateway.response_writer import JSON, ResponseWriter, trace_headers
from sizewise.gateway.signin import NO_STORE, SignInEndpoints, address_of, check_same_site, read_json, sign_in_origin
from sizewise.http.proxies import is_loopback
from sizewise.settings.validators import local_path

ADMIN_ACTION = "create_organizations"
"""Only the admin token has it."""
PROXY_HEADERS = (b"forwarded", b"x-forwarded-for", b"x-real-ip")
LINK_FACTOR = "link"
"""Read access to the home folder counts as both factors."""


class LinkRequest(Struct, forbid_unknown_fields=True):
    """`to`: path that opens after signing in; empty: the one of the settings."""

    to: Annotated[str, Meta(max_length=500)] = ""


class CreatedLink(Struct):
    """`expires`: unix ms."""

    url: str
    expires: int


class LinkRedemption(Struct, forbid_unknown_fields=True):
    token: Annotated[str, Meta(min_length=20, max_length=200)]


class LinkEndpoints:
    """The route handlers of /auth/link."""

    def __init__(self, links: SignInLinks, users: UserAccounts, signing_in: SignInEndpoints) -> None:
        self._links = links
        self._users = users
        self._signing_in = signing_in

    async def create(self, app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
        """Raises Forbidden for another key than the admin token, or from another machine; BadRequest for `to`."""
        head.authorize(app, "auth", ADMIN_ACTION)
        if not is_loopback(head.peer_address) or any(name in PROXY_HEADERS for name, _ in head.headers):
            raise Forbidden("sign-in links are created on the server's machine only", "run there: sizewise open")
        to = read_json(body, LinkRequest).to
        try:
            local_path(to or "/")
        except ValueError as error:
            raise BadRequest(str(error), "use a path such as /play", param="to") from None
        made = await self._links.create()
        shown = CreatedLink(sign_in_url(app.settings.server.url, made, to), made.expires)
        await writer.send_response(200, [JSON, NO_STORE, *trace_headers(head.trace)], msgspec.json.encode(shown))

    async def redeem(self, app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
        """Signs in. Raises Forbidden, which says why the link does not work; Busy after too many attempts."""
        wanted = read_json(body, LinkRedemption)
        check_same_site(app, head)
        throttle, address = self._users.login_throttle, address_of(app, head)
        await throttle.record_attempt("", address)
        user = await self._links.redeem(wanted.token)
        await throttle.record_success("", address)
        origin = msgspec.structs.replace(sign_in_origin(app, head, "link"), factor=LINK_FACTOR)
        await self._signing_in.start_session(app, head, writer, user, origin)


def sign_in_url(server: str, link: NewSignInLink, to: str = "") -> str:
    """The token is in the fragment, so it appears in no log and no Referer."""
    return f"{server}/sign-in#link={link.token}" + (f"&to={to}" if to else "")
