"""Environments as an application sees them: who chooses the release that answers a request, and labels it."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Protocol, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from sizewise.app.canary_serving import CanaryServing
from sizewise.handler import Handler, Request, Send
from sizewise.messages import Reply
from sizewise.principal import Principal
from sizewise.releases.canary.split import RequestUnit
from sizewise.releases.environments.environment_store import Place
from sizewise.request_origin import ReleaseLabel

App_co = TypeVar("App_co", covariant=True)
NO_UNIT = RequestUnit()


class ServedState(Struct, frozen=True):
    """What this process serves in an environment. `release`, `canary`: hashes; empty: none. `problem`: why it does not
    serve what is live.
    """

    release: str = ""
    canary: str = ""
    problem: str = ""


class Environments(Protocol[App_co]):
    async def choose(self, principal: Principal, unit: RequestUnit = NO_UNIT, forced: str = "") -> App_co:
        """The application that answers. `forced`: the hash of a release. Raises Forbidden, PathNotFound, BadRequest,
        ConfigError, StorageError, EncryptionKeyUnavailable.
        """
        ...

    async def stable(self, principal: Principal) -> App_co:
        """The stable release where a canary has failed. Raises as `choose`."""
        ...

    @property
    def canaries(self) -> CanaryServing | None: ...

    def has_canary(self, principal: Principal) -> bool:
        """Whether `unit` matters."""
        ...

    async def application(self, tenant: str, project: str, hash: str) -> App_co:
        """That of a release, built if it is not yet; it does not label its requests. Raises as `choose`."""
        ...

    async def refresh(self) -> None:
        """Serves what is live by now. Raises StorageError; then nothing changes."""
        ...

    def state(self, place: Place) -> ServedState: ...


def labelling(handler: Handler, label: ReleaseLabel) -> Handler:
    """`handler`, for requests that say what answers them."""

    def call(request: Request, send: Send) -> Coroutine[Any, Any, Reply]:
        return handler(replace(request, release=label), send)

    return call
