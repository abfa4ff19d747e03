"""Access to runs: which principals may see and control a run, and its own permissions. Reads no stored run."""

from __future__ import annotations

from sizewise.auth.authenticator import Authenticator
from sizewise.errors import Forbidden, InvalidApiKey
from sizewise.flows.tables import FlowRun
from sizewise.flows.versions.published_flow import PublishedFlow
from sizewise.principal import Principal


class RunPrincipals:
    """A run has the permissions that its starter's key has now, not the ones the key had when the run started."""

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator

    def current(self, run: FlowRun) -> Principal | None:
        """The starter of the run with its current permissions; None once it lacks the permission `ask`."""
        return self._authenticator.stored_caller(run.key, run.user, run.tenant, run.project)

    def require_current(self, run: FlowRun) -> Principal:
        """Like `current`, but raises InvalidApiKey instead of returning None."""
        found = self.current(run)
        if found is None:
            raise revoked(run)
        return found

    def publisher(self, published: PublishedFlow) -> Principal:
        """The principal of a run that a trigger starts: the flow's publisher, with its current permissions. Raises
        InvalidApiKey.
        """
        found = self._authenticator.stored_caller(published.key, published.user, published.tenant, published.project)
        if found is None:
            raise InvalidApiKey(
                f"the publisher of the flow {published.name!r} no longer has the `ask` permission",
                "publish the flow again",
            )
        return found


def can_see(principal: Principal, run: FlowRun) -> bool:
    """Whether the run is in the principal's project and, if the key is limited to some flows, is one of those."""
    only = principal.scope.flows if principal.scope is not None else ()
    mine = run.tenant == principal.tenant and (principal.all_projects or run.project == principal.project)
    return mine and (not only or run.flow in only)


def is_owner(principal: Principal, run: FlowRun) -> bool:
    return principal.key_id == run.key or (principal.user_id != "" and principal.user_id == run.user)


def require_owner(principal: Principal, run: FlowRun) -> None:
    """Raises Forbidden: a run uses its owner's permissions and budget, so others cannot stop or resume it."""
    if not is_owner(principal, run) and "manage_flows" not in principal.permissions:
        raise Forbidden(
            "this run belongs to another user",
            "only its owner, or a user with the `manage_flows` permission, can cancel or resume it",
        )


def revoked(run: FlowRun) -> InvalidApiKey:
    return InvalidApiKey(
        f"the key {run.key!r}, which started the run, no longer has the `ask` permission",
        "start the flow again with another key",
    )
