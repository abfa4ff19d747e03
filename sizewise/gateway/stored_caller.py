"""The caller of work that outlives its request, with the permissions that it has now; runs none."""

from __future__ import annotations

from sizewise.app.application import Application
from sizewise.errors import InvalidApiKey
from sizewise.principal import Principal
from sizewise.storage.erasure import Caller


def stored_principal(app: Application, caller: Caller, tenant: str, project: str, what: str) -> Principal:
    """`what` it created, as in `the response`. Raises InvalidApiKey if it may no longer ask."""
    keys = app.resources.services.api_keys.authenticator
    found = keys.stored_caller(caller.key, caller.user, tenant, project)
    if found is None:
        raise InvalidApiKey(
            f"the key {caller.key!r}, which created {what}, no longer has the permission `ask`",
            "create it again with another key",
        )
    return found
