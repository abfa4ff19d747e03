"""/auth/...: sign-in, sign-out, invitations, sessions and passwords; JSON bodies and a session cookie.

The cookie holds 256 random bits and nothing else; scripts, other hosts and pages of other sites cannot read or send it.
Its checks are in auth/browser_security.py.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct, structs

from sizewise.app.application import Application
from sizewise.auth.authenticator import Authenticator
from sizewise.auth.browser_security import SESSION_COOKIE, check_csrf, check_host, client_address, is_https, read_cookie
from sizewise.auth.second_factor import SecondFactorProof, SecondFactors
from sizewise.auth.sign_in_device import device_family, network_prefix
from sizewise.auth.sign_in_sessions import NewSession, Sessions, SignInOrigin, csrf_token
from sizewise.auth.user_accounts import UserAccounts
from sizewise.auth.users.passwords import MAX_LENGTH
from sizewise.auth.users.tables import Session, User
from sizewise.errors import BadBody, InvalidApiKey, SecondFactorRequired, SignInFailed
from sizewise.gateway.request_head import RequestHead
from sizewise.gateway.response_writer import JSON, Headers, ResponseWriter, trace_headers
from sizewise.interoperable_json import check_json
from sizewise.principal import Principal

T = TypeVar("T", bound=Struct)

Password = Annotated[str, Meta(max_length=4 * MAX_LENGTH)]
Name = Annotated[str, Meta(max_length=100)]
Code = Annotated[str, Meta(max_length=40)]
NO_STORE = (b"cache-control", b"no-store")
_WRONG_CREDENTIALS = "the address or the password is wrong"
_HINT = "try again, or ask an administrator for a link to a new password"


class SignIn(Struct, forbid_unknown_fields=True):
    email: Annotated[str, Meta(max_length=254)]
    password: Password
    project: Name = ""
    code: Code = ""
    recovery_code: Code = ""


class AcceptInvitation(Struct, forbid_unknown_fields=True):
    """An invitation and the user's new password. An empty name keeps the current one."""

    token: Annotated[str, Meta(min_length=20, max_length=200)]
    password: Password
    name: Name = ""
    code: Code = ""
    recovery_code: Code = ""


class ProjectSwitch(Struct, forbid_unknown_fields=True):
    project: Name


class PasswordChange(Struct, forbid_unknown_fields=True):
    """Replaces the current password."""

    current: Password
    password: Password


class SignInSession(Struct):
    """Times are unix ms. Send `csrf` as x-sizewise-csrf with every method but GET.

    `second_factor` required: the session has no permission until its user adds one.
    """

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
    method: str
    second_factor: Literal["none", "enrolled", "required"]


class SignInEndpoints:
    """The route handlers of /auth, except OpenID Connect."""

    def __init__(
        self, users: UserAccounts, sessions: Sessions, keys: Authenticator, second_factors: SecondFactors
    ) -> None:
        self._users = users
        self._sessions = sessions
        self._keys = keys
        self._second_factors = second_factors

    async def sign_in(self, app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
        """Raises SignInFailed, with the same message and timing whatever is wrong; SecondFactorRequired if only the
        code is missing; Busy after too many attempts.
        """
        wanted = read_json(body, SignIn)
        check_same_site(app, head)
        address = address_of(app, head)
        account = wanted.email.strip().lower()
        await self._users.login_throttle.record_attempt(account, address)
        user = self._users.find_by_email(account)
        fits = await self._users.password_hasher.verify(wanted.password, user.password if user else "")
        if user is None or not fits or user.disabled is not None:
            if user is not None:
                self._sessions.record_failed_sign_in(user, SignInFailed.code)
            raise SignInFailed(_WRONG_CREDENTIALS, _HINT)
        await self._users.login_throttle.record_success(account, address)
        factor = await self._challenge(user, SecondFactorProof(wanted.code, wanted.recovery_code), address)
        origin = structs.replace(sign_in_origin(app, head, "password"), factor=factor)
        await self.start_session(app, head, writer, user, origin, wanted.project)

    async def accept_invitation(self, app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
        """Signs in by invitation. Raises Forbidden, BadRequest (password), Conflict, Busy."""
        wanted = read_json(body, AcceptInvitation)
        check_same_site(app, head)
        users, address = self._users, address_of(app, head)
        await users.login_throttle.record_attempt("", address)
        proof, factor = SecondFactorProof(wanted.code, wanted.recovery_code), ""

        async def check(user: User) -> None:
            nonlocal factor
            factor = await self._challenge(user, proof, address)

        user = await users.accept_invitation(wanted.token, strip_unprintable(wanted.name), wanted.password, check)
        await users.login_throttle.record_success("", address)
        origin = structs.replace(sign_in_origin(app, head, "invitation"), factor=factor)
        await self.start_session(app, head, writer, user, origin)

    async def sign_out(self, app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
        """Ends the session of this cookie and deletes the cookie; succeeds without a session. Raises Forbidden."""
        try:
            principal, session, _ = self.current_session(app, head)
        except InvalidApiKey:
            check_same_site(app, head)
        else:
            await self._sessions.end(session, principal)
        gone = set_cookie(app, head, "", 0)
        await writer.send_response(200, [JSON, NO_STORE, gone, *trace_headers(head.trace)], b'{"signed_out":true}')

    async def get_session(self, app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
        """The current session. Raises InvalidApiKey."""
        principal, its, token = self.current_session(app, head)
        await self._send_session(app, head, writer, principal, its, token)

    async def switch_project(self, app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
        """Moves the session to another project. Raises PathNotFound, InvalidApiKey, Forbidden."""
        principal, its, token = self.current_session(app, head)
        moved = await self._sessions.switch_project(its, read_json(body, ProjectSwitch).project, principal)
        principal, _ = self._keys.authenticate_session(token)
        await self._send_session(app, head, writer, principal, moved, token)

    async def change_password(self, app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
        """Changes the user's password, ends all their sessions and starts a new one. Raises InvalidApiKey, Forbidden,
        SignInFailed (wrong current password), BadRequest, Busy.
        """
        _, its, _ = self.current_session(app, head)
        wanted = read_json(body, PasswordChange)
        users, address = self._users, address_of(app, head)
        user = users.get(its.user, its.tenant)
        await users.login_throttle.record_attempt(user.email, address)
        if not await users.password_hasher.verify(wanted.current, user.password):
            raise SignInFailed("this is not the current password", _HINT)
        await users.login_throttle.record_success(user.email, address)
        await users.change_password(user, wanted.password)
        user = users.get(user.id, user.tenant)
        origin = structs.replace(sign_in_origin(app, head, "password"), factor=its.factor)
        await self.start_session(app, head, writer, user, origin, its.project)

    async def _challenge(self, user: User, proof: SecondFactorProof, address: str) -> str:
        """The second factor used. Raises SecondFactorRequired, SignInFailed, Busy."""
        try:
            return await self._second_factors.challenge(user, proof, address)
        except SecondFactorRequired:
            raise
        except SignInFailed as error:
            self._sessions.record_failed_sign_in(user, error.code)
            raise

    def factor_state(self, session: Session) -> Literal["none", "enrolled", "required"]:
        standing = self._keys.effective_roles
        if session.user in standing.enrolled:
            return "enrolled"
        return "required" if standing.must_enroll(session) else "none"

    def current_session(self, app: Application, head: RequestHead) -> tuple[Principal, Session, str]:
        """The signed-in user, the session and its token. Raises InvalidApiKey, Forbidden."""
        check_host(head.host, app.allowed_hosts)
        token = read_cookie(head.headers, request_is_https(app, head))
        principal, its = self._keys.authenticate_session(token)
        if not head.safe:
            check_csrf(head.headers, head.host, token)
        return principal, its, token

    async def start_session(
        self,
        app: Application,
        head: RequestHead,
        writer: ResponseWriter,
        user: User,
        origin: SignInOrigin,
        project: str = "",
    ) -> None:
        """Starts a session, and sends it with its cookie. Raises Forbidden if the user is not in `project`,
        SignInFailed.
        """
        lifetime = app.settings.login_sessions.max_age_s
        made: NewSession = await self._sessions.start(user, lifetime, origin, project)
        principal, _ = self._keys.authenticate_session(made.token)
        given = set_cookie(app, head, made.token, lifetime)
        await self._send_session(app, head, writer, principal, made.session, made.token, [given])

    async def _send_session(
        self,
        app: Application,
        head: RequestHead,
        writer: ResponseWriter,
        principal: Principal,
        session: Session,
        token: str,
        more: Headers | None = None,
    ) -> None:
        standing = self._keys.effective_roles
        user: User = standing.users[session.user]
        shown = SignInSession(
            session=session.id,
            user=user.id,
            email=user.email,
            name=user.name,
            organization=user.tenant,
            project=session.project,
            projects=sorted(standing.project_roles(user.id)),
            role=user.role,
            permissions=sorted(principal.permissions),
            all_projects=principal.all_projects,
            csrf=csrf_token(token),
            expires=session.expires,
            method=session.method,
            second_factor=self.factor_state(session),
        )
        await writer.send_response(
            200,
            [JSON, NO_STORE, *(more or []), *trace_headers(head.trace)],
            msgspec.json.encode(shown),
        )


def set_cookie(
    app: Application,
    head: RequestHead,
    value: str,
    lifetime_s: float,
    name: str = SESSION_COOKIE,
    site: str = "Strict",
) -> tuple[bytes, bytes]:
    """`site` Strict: not sent from other sites' pages or links in e-mails. `lifetime_s` 0 deletes the cookie."""
    tls = request_is_https(app, head)
    named, only = (f"__Host-{name}", "; Secure") if tls else (name, "")
    said = f"{named}={value}; Path=/; Max-Age={int(lifetime_s)}; HttpOnly; SameSite={site}{only}"
    return (b"set-cookie", said.encode("ascii"))


def request_is_https(app: Application, head: RequestHead) -> bool:
    return is_https(head.secure, head.peer_address, head.headers, app.settings.server.trusted_proxies)


def strip_unprintable(name: str) -> str:
    return "".join(c for c in name if c.isprintable()).strip()


def sign_in_origin(app: Application, head: RequestHead, method: str) -> SignInOrigin:
    agent = next((value.decode("latin-1") for name, value in head.headers if name == b"user-agent"), "")
    return SignInOrigin(method, device=device_family(agent), network=network_prefix(address_of(app, head)))


def address_of(app: Application, head: RequestHead) -> str:
    return client_address(head.peer_address, head.headers, app.settings.server.trusted_proxies)


def check_same_site(app: Application, head: RequestHead) -> None:
    check_host(head.host, app.allowed_hosts)
    check_csrf(head.headers, head.host)


def read_json(body: bytes, kind: type[T]) -> T:
    try:
        parsed = msgspec.json.decode(body, type=kind)
        check_json(body)
        return parsed
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        known = ", ".join(kind.__struct_encode_fields__)
        raise BadBody(f"invalid body: {error}", f"send JSON with {known}") from error
