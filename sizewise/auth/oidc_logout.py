"""OpenID Connect Back-Channel Logout 1.0: a provider's logout token ends that person's sessions, on every server."""

from __future__ import annotations

import time
from collections.abc import Sequence

from sizewise.audit_log import tables as audit
from sizewise.audit_log.hash_chain import AuditEvent
from sizewise.auth import tables
from sizewise.auth.authenticator import Authenticator
from sizewise.auth.oidc import RelyingParty
from sizewise.auth.oidc_token import LEEWAY_S, MAX_AGE_S, LogoutTokenClaims
from sizewise.auth.tables import CredentialSnapshot
from sizewise.auth.users import logout_tables
from sizewise.auth.users.tables import Transaction
from sizewise.errors import SignInFailed
from sizewise.storage.database import AsyncTransactionRunner


class BackChannelLogout:
    """Sessions end here at once, on other servers of the database within half a second; streams and sockets too."""

    def __init__(
        self, write: AsyncTransactionRunner, authenticator: Authenticator, relying_party: RelyingParty
    ) -> None:
        self._write = write
        self._authenticator = authenticator
        self._relying_party = relying_party

    async def log_out(self, name: str, token: str) -> Sequence[str]:
        """The ids of the sessions that ended. Raises SignInFailed for a token that is not valid, or was accepted
        before; PathNotFound for an unknown provider.
        """
        provider = self._relying_party.provider(name)
        claims = await provider.verified_logout(token)
        tenant, issuer, now = provider.settings.organization, provider.settings.issuer, time.time_ns() // 1_000_000
        user = self._find_user(tenant, issuer, claims)
        ended: list[str] = []

        def work(c: Transaction) -> CredentialSnapshot:
            until = now + round((MAX_AGE_S + 2 * LEEWAY_S) * 1_000)  # it is refused as too old from then on
            if not logout_tables.add_logout_token(c, tenant, issuer, claims.jti, until):
                raise SignInFailed("the logout token was used already", "send a new one")
            if user or not claims.sub:  # of a person who is not known here, no session is
                ended.extend(logout_tables.end_provider_sessions(c, tenant, issuer, now, user, claims.sid or ""))
            if not ended:
                return tables.read_snapshot(c)
            audit.append_event(c, _event(name, tenant, user, ended))
            return tables.bump_version(c)

        await self._authenticator.apply(await self._write(work))
        return ended

    def _find_user(self, tenant: str, issuer: str, claims: LogoutTokenClaims) -> str:
        """Empty if the token names nobody that is known here."""
        known = self._authenticator.effective_roles.users.values()
        mine = (tenant, issuer, claims.sub)
        return next((u.id for u in known if claims.sub and (u.tenant, u.issuer, u.subject) == mine), "")


def _event(name: str, tenant: str, user: str, ended: Sequence[str]) -> AuditEvent:
    return AuditEvent(
        tenant=tenant,
        who=f"oidc:{name}",
        action="session.end",
        thing=f"user:{user}" if user else f"session:{ended[0]}",
        before=None,
        after={"how": "back-channel logout", "sessions": list(ended)},
    )
