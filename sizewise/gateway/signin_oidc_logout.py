"""/auth/oidc/NAME/backchannel-logout: where an identity provider says that a person or session was logged out."""

from __future__ import annotations

import logging
from urllib.parse import parse_qs

import msgspec

from sizewise.app.application import Application
from sizewise.auth.oidc_logout import BackChannelLogout
from sizewise.auth.user_accounts import UserAccounts
from sizewise.errors import PathNotFound, SignInFailed
from sizewise.gateway.request_head import RequestHead, RouteHandler
from sizewise.gateway.response_writer import JSON, ResponseWriter, trace_headers
from sizewise.gateway.signin import NO_STORE, address_of

log = logging.getLogger("sizewise.gateway")

MAX_FORM_BYTES = 32_768


class OidcLogoutEndpoints:
    def __init__(self, users: UserAccounts, logout: BackChannelLogout) -> None:
        self._users = users
        self._logout = logout

    def handler(self, name: str) -> RouteHandler:
        async def log_out(app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
            """Answers as section 2.8 says: 200, or 400 with `error`. Raises Busy after too many wrong tokens."""
            address = address_of(app, head)
            await self._users.login_throttle.record_attempt("", address)
            try:
                ended = await self._logout.log_out(name, _logout_token(body))
            except (SignInFailed, PathNotFound) as error:
                app.resources.metrics.count_rejection(error.code)
                log.warning("a back-channel logout of %.60s was refused: %s", name, error.message)
                shown = {"error": "invalid_request", "error_description": error.message}
                headers = [JSON, NO_STORE, *trace_headers(head.trace)]
                return await writer.send_response(400, headers, msgspec.json.encode(shown))
            await self._users.login_throttle.record_success("", address)
            log.info("%d sessions ended by a back-channel logout of %.60s", len(ended), name)
            await writer.send_response(200, [NO_STORE, *trace_headers(head.trace)], b"")

        return log_out


def _logout_token(body: bytes) -> str:
    """Of a form. Raises SignInFailed."""
    try:
        found = parse_qs(body[:MAX_FORM_BYTES].decode("ascii"), max_num_fields=20).get("logout_token", [])
    except ValueError:
        found = []
    if len(found) != 1:
        raise SignInFailed("the form has no logout_token", "send it as application/x-www-form-urlencoded")
    return found[0]
