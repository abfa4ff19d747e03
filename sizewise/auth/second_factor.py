"""Second factors of local accounts: enrollment, codes of an app, recovery codes and removal; knows no permissions.

A secret is encrypted, a recovery code is a digest. Each code works once: an accepted one raises the last time step in
the same statement that checks it, over all servers of a database.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Iterable, Mapping

from msgspec import Struct

from sizewise.audit_log import tables as audit
from sizewise.audit_log.hash_chain import AuditEvent, Snapshot
from sizewise.auth import tables
from sizewise.auth.api_keys import audit_event
from sizewise.auth.authenticator import Authenticator, digest
from sizewise.auth.users import factor_tables
from sizewise.auth.users.effective_roles import SecondFactorRule
from sizewise.auth.users.factor_tables import SecondFactor
from sizewise.auth.users.login_throttle import LoginThrottle
from sizewise.auth.users.qr_code import qr_matrix
from sizewise.auth.users.tables import Transaction, User
from sizewise.auth.users.totp import as_base32, matching_step, new_secret, provisioning_uri
from sizewise.errors import ConfigError, Conflict, SecondFactorRequired, SignInFailed, did_you_mean
from sizewise.principal import Principal
from sizewise.settings.auth import SignInSettings
from sizewise.storage.database import AsyncTransactionRunner, TransactionRunner, UnitOfWork
from sizewise.storage.encryption import EnvelopeEncryption

TABLE = "second_factors"
ISSUER = "Sizewise"
RECOVERY_CODE_COUNT = 10
CODE_ATTEMPTS = (5, 10, 300)
"""Per 15 minutes: by account and address, by account, by address. At 10, a guess of six digits takes years."""
_RECOVERY_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"  # 31 characters that are hard to confuse
_RECOVERY_GROUPS, _RECOVERY_GROUP_CHARS = 4, 4


class Enrollment(Struct, frozen=True):
    """What an authenticator app needs. `secret`: Base32; `uri`: the same as `otpauth:`; `qr`: rows of '0' and '1'."""

    secret: str
    uri: str
    qr: list[str]


class SecondFactorProof(Struct, frozen=True):
    """One of both is given: a code of the app, or a recovery code."""

    code: str = ""
    recovery_code: str = ""


class SecondFactors:
    """Changes take effect in `authenticator` immediately."""

    def __init__(
        self,
        encryption: EnvelopeEncryption,
        read: TransactionRunner,
        write: AsyncTransactionRunner,
        authenticator: Authenticator,
    ) -> None:
        self._encryption = encryption
        self._read = read
        self._write = write
        self._authenticator = authenticator
        self._code_throttle = LoginThrottle("code", read, write, CODE_ATTEMPTS)
        self._recovery_throttle = LoginThrottle(
            "recovery", read, write, CODE_ATTEMPTS
        )  # guesses of codes cannot exhaust it

    def enrolled_since(self, user: User) -> int | None:
        """Unix ms; None without a second factor."""
        return self._authenticator.effective_roles.enrolled.get(user.id)

    async def recovery_codes_left(self, users: Iterable[str]) -> Mapping[str, int]:
        ids = list(users)
        return await asyncio.to_thread(self._read, lambda c: factor_tables.count_recovery_codes(c, ids))

    async def begin(self, user: User) -> Enrollment:
        """A new secret, which counts after `confirm`. Raises Conflict if the user has a second factor already."""
        if not self._authenticator.effective_roles.second_factor.can_enroll:
            raise Conflict("second factors are off", "set second_factor in [sign_in] of sizewise.toml to optional")
        if self.enrolled_since(user) is not None:
            raise Conflict("this account has a second factor", "remove it first, with a code")
        secret = new_secret()
        sealed = await asyncio.to_thread(self._encryption.encrypt, secret, user.tenant, TABLE, user.id)
        made = SecondFactor(
            tenant=user.tenant, user=user.id, created=_now(), confirmed=None, last_step=0, sealed=sealed
        )
        await self._write(lambda c: factor_tables.replace_factor(c, made))
        uri = provisioning_uri(secret, user.email, ISSUER)
        return Enrollment(as_base32(secret), uri, qr_matrix(uri))

    async def confirm(self, user: User, code: str, address: str) -> list[str]:
        """Turns the second factor on, by its first code. The recovery codes, shown once. Raises SignInFailed, Busy,
        Conflict.
        """
        factor = await self._stored(user)
        if factor is None or factor.confirmed is not None:
            raise Conflict("no enrollment has begun", "begin it: POST /auth/second-factor with your password")
        await self._use_code(user, factor, code, address)
        return await self._replace_codes(user, "user.second_factor", {"state": "on"}, confirm=True)

    async def replace_recovery_codes(self, user: User, proof: SecondFactorProof, address: str) -> list[str]:
        """Ten new ones, shown once; the old ones are invalid. Raises SignInFailed, Busy, Conflict."""
        await self._verify_enrolled(user, proof, address)
        return await self._replace_codes(user, "user.recovery_codes", {}, confirm=False)

    async def remove(self, user: User, proof: SecondFactorProof, address: str) -> None:
        """With its recovery codes. Raises SignInFailed, Busy, Conflict."""
        how = await self._verify_enrolled(user, proof, address)
        await self._delete(user, _own_event(user, "user.second_factor", {"state": "off", "by": how}))

    async def reset(self, user: User, actor: Principal) -> None:
        """Removes the second factor of a user who has lost it, without a code. Raises Conflict if there is none."""
        if self.enrolled_since(user) is None:
            raise _no_factor()
        after: Snapshot = {"state": "off", "by": "reset"}
        await self._delete(user, audit_event(actor, user.tenant, "user.second_factor", f"user:{user.id}", None, after))

    async def challenge(self, user: User, proof: SecondFactorProof, address: str) -> str:
        """The factor that signs this user in: totp, recovery, or empty for a user without one.

        Raises SecondFactorRequired without a proof, SignInFailed for a wrong, late or used one, Busy.
        """
        if self.enrolled_since(user) is None:
            return ""
        if not proof.code and not proof.recovery_code:
            raise SecondFactorRequired(
                "this account has a second factor", "send the `code` of your app, or a `recovery_code`"
            )
        return await self._verify_enrolled(user, proof, address)

    async def _verify_enrolled(self, user: User, proof: SecondFactorProof, address: str) -> str:
        factor = await self._stored(user)
        if factor is None or factor.confirmed is None:
            raise _no_factor()
        if proof.recovery_code:
            await self._use_recovery_code(user, proof.recovery_code, address)
            return "recovery"
        await self._use_code(user, factor, proof.code, address)
        return "totp"

    async def _use_code(self, user: User, factor: SecondFactor, code: str, address: str) -> None:
        await self._code_throttle.record_attempt(user.id, address)
        secret = await asyncio.to_thread(self._encryption.decrypt, factor.sealed, user.tenant, TABLE, user.id)
        step = matching_step(secret, code, time.time(), factor.last_step)
        if step is None or not await self._write(lambda c: factor_tables.use_step(c, factor, step)):
            raise SignInFailed("the code is wrong, too old, or was used already", "wait for the next code of your app")
        await self._code_throttle.record_success(user.id, address)

    async def _use_recovery_code(self, user: User, code: str, address: str) -> None:
        await self._recovery_throttle.record_attempt(user.id, address)
        mine = _recovery_digest(user, code)
        event = _own_event(user, "user.recovery_code", {})

        def work(c: Transaction) -> bool:
            used = factor_tables.use_recovery_code(c, user.id, mine)
            if used:
                audit.append_event(c, event)
            return used

        if not await self._write(work):
            raise SignInFailed("the recovery code is wrong, or was used already", "use another one of your list")
        await self._recovery_throttle.record_success(user.id, address)

    async def _replace_codes(self, user: User, action: str, after: Snapshot, *, confirm: bool) -> list[str]:
        codes, now = [_new_recovery_code() for _ in range(RECOVERY_CODE_COUNT)], _now()
        digests = [_recovery_digest(user, each) for each in codes]

        def work(c: Transaction) -> None:
            if confirm:
                factor_tables.confirm_factor(c, user.id, now)
            factor_tables.replace_recovery_codes(c, user.tenant, user.id, digests)

        await self._commit(work, _own_event(user, action, after))
        return codes

    async def _delete(self, user: User, event: AuditEvent) -> None:
        await self._commit(lambda c: factor_tables.delete_factor(c, user.id), event)

    async def _stored(self, user: User) -> SecondFactor | None:
        return await asyncio.to_thread(self._read, lambda c: factor_tables.get_factor(c, user.id))

    async def _commit(self, change: UnitOfWork[object], event: AuditEvent) -> None:
        await self._authenticator.apply(await self._write(tables.with_audit_event(change, event)))


def second_factor_rule(settings: SignInSettings, roles: Mapping[str, object]) -> SecondFactorRule:
    """Raises ConfigError for an unknown role."""
    for role in settings.second_factor_roles:
        if role not in roles:
            hint = did_you_mean(role, list(roles)) or f"known: {', '.join(roles)}"
            raise ConfigError(f"sign_in.second_factor_roles: there is no role {role!r}", hint)
    return SecondFactorRule(
        can_enroll=settings.second_factor != "off",
        of_everyone=settings.second_factor == "required",
        roles=frozenset(settings.second_factor_roles if settings.second_factor != "off" else ()),
    )


def _own_event(user: User, action: str, after: Snapshot) -> AuditEvent:
    return AuditEvent(tenant=user.tenant, who=user.id, action=action, thing=f"user:{user.id}", before=None, after=after)


def _no_factor() -> Conflict:
    return Conflict("this account has no second factor", "add one first: POST /auth/second-factor")


def _new_recovery_code() -> str:
    """79 random bits, in groups."""
    groups = (
        "".join(secrets.choice(_RECOVERY_ALPHABET) for _ in range(_RECOVERY_GROUP_CHARS))
        for _ in range(_RECOVERY_GROUPS)
    )
    return "-".join(groups)


def _recovery_digest(user: User, code: str) -> str:
    """A fast hash is enough: a code has 79 random bits."""
    plain = "".join(c for c in code.lower() if c.isalnum())
    return digest(f"{user.id} {plain}").hex()


def _now() -> int:
    """Unix ms."""
    return time.time_ns() // 1_000_000
