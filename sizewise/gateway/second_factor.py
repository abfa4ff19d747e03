"""/auth/second-factor: a user's own second factor: enrollment, recovery codes and removal, by the session's user."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import Struct

from sizewise.app.application import Application
from sizewise.auth.second_factor import SecondFactorProof, SecondFactors
from sizewise.auth.user_accounts import UserAccounts
from sizewise.auth.users.tables import User
from sizewise.errors import BadRequest, Conflict, SignInFailed
from sizewise.gateway.request_head import RequestHead
from sizewise.gateway.response_writer import JSON, ResponseWriter, trace_headers
from sizewise.gateway.signin import NO_STORE, Code, Password, SignInEndpoints, address_of, read_json


class EnrollmentStart(Struct, forbid_unknown_fields=True):
    password: Password


class EnrollmentCode(Struct, forbid_unknown_fields=True):
    code: Code


class FactorProof(Struct, forbid_unknown_fields=True):
    code: Code = ""
    recovery_code: Code = ""


class FactorState(Struct):
    """`since`: unix ms. required: the user must enroll before anything else."""

    state: Literal["none", "enrolled", "required"]
    since: int | None
    recovery_left: int


class RecoveryCodes(Struct):
    recovery_codes: list[str]


class SecondFactorEndpoints:
    """The route handlers of /auth/second-factor; all raise InvalidApiKey without a session."""

    def __init__(self, factors: SecondFactors, users: UserAccounts, signing_in: SignInEndpoints) -> None:
        self._factors = factors
        self._users = users
        self._signing_in = signing_in

    async def show(self, app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
        await self._send(head, writer, await self._state(app, head))

    async def begin(self, app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
        """Raises SignInFailed for a wrong password, Conflict, Busy."""
        user, wanted = self._user(app, head), read_json(body, EnrollmentStart)
        if not user.password:
            hint = "its identity provider asks for second factors" if user.subject else "it signs in by links alone"
            raise Conflict("this account has no password that a second factor could protect", hint)
        address = address_of(app, head)
        await self._users.login_throttle.record_attempt(user.email, address)
        if not await self._users.password_hasher.verify(wanted.password, user.password):
            raise SignInFailed("this is not your password", "try again")
        await self._users.login_throttle.record_success(user.email, address)
        await self._send(head, writer, await self._factors.begin(user))

    async def confirm(self, app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
        user, wanted = self._user(app, head), read_json(body, EnrollmentCode)
        codes = await self._factors.confirm(user, wanted.code, address_of(app, head))
        await self._send(head, writer, RecoveryCodes(codes))

    async def new_recovery_codes(
        self, app: Application, head: RequestHead, body: bytes, writer: ResponseWriter
    ) -> None:
        user, proof = self._user(app, head), _proof(body)
        await self._send(
            head, writer, RecoveryCodes(await self._factors.replace_recovery_codes(user, proof, address_of(app, head)))
        )

    async def remove(self, app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
        await self._factors.remove(self._user(app, head), _proof(body), address_of(app, head))
        await self._send(head, writer, await self._state(app, head))

    def _user(self, app: Application, head: RequestHead) -> User:
        _, session, _ = self._signing_in.current_session(app, head)
        return self._users.get(session.user, session.tenant)

    async def _state(self, app: Application, head: RequestHead) -> FactorState:
        _, session, _ = self._signing_in.current_session(app, head)
        user = self._users.get(session.user, session.tenant)
        left = await self._factors.recovery_codes_left([user.id])
        return FactorState(
            self._signing_in.factor_state(session), self._factors.enrolled_since(user), left.get(user.id, 0)
        )

    async def _send(self, head: RequestHead, writer: ResponseWriter, shown: Struct) -> None:
        headers = [JSON, NO_STORE, *trace_headers(head.trace)]
        await writer.send_response(200, headers, msgspec.json.encode(shown))


def _proof(body: bytes) -> SecondFactorProof:
    """Raises BadRequest without one."""
    wanted = read_json(body, FactorProof)
    if not wanted.code and not wanted.recovery_code:
        raise BadRequest("a code is missing", "send the `code` of your app, or a `recovery_code`", param="code")
    return SecondFactorProof(wanted.code, wanted.recovery_code)
