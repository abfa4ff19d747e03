"""Choice of the application that answers a caller whose request came by another way than the routes of the gateway."""

from __future__ import annotations

from sizewise.app.application import Application
from sizewise.principal import Principal
from sizewise.releases.canary.split import RequestUnit


async def answering(app: Application, principal: Principal, session: str | None, trace: str) -> Application:
    """`app`, or that of the release of the caller's environment. Raises what `Environments.choose` raises."""
    if app.environments is None:
        return app
    return await app.environments.choose(principal, RequestUnit(session or "", "", principal.key_id, trace))
