"""Approvers: who can decide a waiting step of a run, and what the refusal says to all others; reads no stored run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sizewise.auth.authenticator import Authenticator
from sizewise.errors import Forbidden
from sizewise.flows.run_access import is_owner
from sizewise.flows.tables import FlowRun
from sizewise.principal import Principal


class Approvers:
    """Deciding takes the permission `approve`. Who started the run cannot decide its steps, unless the settings allow
    it, and a step that names approvers is decided by these alone.
    """

    def __init__(self, authenticator: Authenticator, *, allow_self_approval: bool) -> None:
        self._authenticator = authenticator
        self._allow_self_approval = allow_self_approval

    def require(self, principal: Principal, run: FlowRun, approvers: Sequence[str]) -> None:
        """`approvers`: whom the step names, in the form of APPROVER_PATTERN; empty: all. Raises Forbidden."""
        refusal = self.refusal(principal, run, approvers)
        if refusal is not None:
            raise refusal

    def refusal(self, principal: Principal, run: FlowRun, approvers: Sequence[str]) -> Forbidden | None:
        """Why `principal` cannot decide a step of `run`; None if it can."""
        others = "another user or key with the permission `approve`"
        who = f"one of these: {', '.join(approvers)}" if approvers else others
        if "approve" not in principal.permissions:
            return Forbidden("this key does not have the `approve` permission", f"ask {who}")
        if not self._allow_self_approval and self._is_starter(principal, run):
            return Forbidden(
                "you started this run, and cannot decide its steps yourself",
                f"ask {who}; or allow it: `allow_self_approval = true` in [flows] of sizewise.toml",
            )
        if approvers and not self._is_named(principal, run, approvers):
            return Forbidden("you are not an approver of this step", f"ask {who}")
        return None

    def _is_starter(self, principal: Principal, run: FlowRun) -> bool:
        """A key also stands for those who made it, so that nobody approves with a key made for that."""
        makers = self._authenticator.key_creators(principal.key_id)
        return is_owner(principal, run) or not {run.key, run.user}.isdisjoint(makers)

    def _is_named(self, principal: Principal, run: FlowRun, approvers: Sequence[str]) -> bool:
        mine = set(self._names(principal, run))
        return any(_normalized(each) in mine for each in approvers)

    def _names(self, principal: Principal, run: FlowRun) -> Iterator[str]:
        """What an approver can be called to mean this principal."""
        yield f"key:{principal.key_id}"
        roles = self._authenticator.effective_roles
        user = roles.active_user(principal.user_id, principal.tenant)
        if user is not None:
            yield from (f"user:{user.id}", f"user:{user.email}")
            yield from (f"role:{user.role}", f"role:{roles.project_roles(user.id).get(run.project, '')}")


def _normalized(approver: str) -> str:
    """Addresses are stored in lower case."""
    return approver.lower() if approver.startswith("user:") and "@" in approver else approver
