"""Serving of environments: one immutable application a release, built before it answers; polls what is live.

While the store cannot be read, what was live last goes on: the stable release of each environment. Only environments
that are in use here have an application; the one before stays, so that a rollback builds nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import replace

from msgspec import Struct

from sizewise.app.application import Application
from sizewise.app.canary_serving import CanaryServing
from sizewise.app.environments import NO_UNIT, ServedState, labelling
from sizewise.errors import Forbidden, SizewiseError
from sizewise.flows.run_release import RunRelease
from sizewise.flows.run_worker import ExecuteFlow
from sizewise.flows.tables import FlowRun
from sizewise.jobs.periodic_tasks import PeriodicTask
from sizewise.principal import Principal
from sizewise.releases.canary.split import Arm, RequestUnit, Unsplit, arm_of
from sizewise.releases.environments.environment_store import EnvironmentStore, Place
from sizewise.releases.environments.tables import LiveRelease
from sizewise.releases.manifest import Release
from sizewise.releases.release_store import ReleaseStore
from sizewise.request_origin import ReleaseLabel
from sizewise.settings.environments import default_environment

log = logging.getLogger("sizewise.releases")

POLL_S = 0.5
"""Between two looks at what is live: the longest delay before a rollback is seen."""
STALE_S = 5.0
"""Without a look at the store for so long, a server does not split requests between stable and a canary."""
KEPT = 8
"""Applications that are kept beside those of environments in use."""

BuildApplication = Callable[[Application, Release, str, str], Application]
"""Of the live application, a release, tenant and project; runs on a thread. Raises ConfigError, BadRequest."""
ReleaseKey = tuple[str, str, str]
"""Tenant, project and hash."""


class ServedEnvironment(Struct, frozen=True):
    """What answers in an environment. `live`: None if it has no release, and what is published answers.

    `unsplit`: stable, as it answers what is not split; None where there is no canary.
    """

    live: LiveRelease | None
    stable: Application
    canary: Application | None = None
    unsplit: Application | None = None


class EnvironmentServing:
    """One per process; outlives reloads. See `Environments`."""

    def __init__(self, store: EnvironmentStore, releases: ReleaseStore, build: BuildApplication) -> None:
        self._store = store
        self._releases = releases
        self._build_application = build
        self._published: Application | None = None
        self._default = ""
        self._served: dict[Place, ServedEnvironment] = {}
        self._outdated: set[Place] = set()  # built on settings that a reload has replaced
        self._applications: OrderedDict[ReleaseKey, Application] = OrderedDict()
        self._building: dict[ReleaseKey, asyncio.Task[Application]] = {}
        self._problems: dict[Place, str] = {}
        self._rows: dict[Place, LiveRelease] | None = None
        self._read_at = 0.0  # time.monotonic()
        self._refreshing = asyncio.Lock()
        self.canaries: CanaryServing | None = None
        self.before_refresh: Callable[[dict[Place, LiveRelease]], Awaitable[bool]] | None = None

    def use(self, app: Application) -> None:
        """Applies new settings: `app` is the application of what is published."""
        self._published, self._default = app, default_environment(app.settings.environments)
        self._applications.clear()
        for place, served in tuple(self._served.items()):
            if served.live is None or place[2] not in app.settings.environments:
                del self._served[place]
            else:
                self._outdated.add(place)

    # ---- requests

    async def choose(self, principal: Principal, unit: RequestUnit = NO_UNIT, forced: str = "") -> Application:
        place = self._place(principal)
        if forced:
            return await self._forced(principal, place, forced)
        served = self._served.get(place) or await self._open(place)
        if served.canary is None or served.unsplit is None or served.live is None:
            return served.stable
        if self.canaries is not None:
            unit = await self.canaries.begun(served.live, unit)
        arm = self._arm(served.live, unit)
        return served.canary if arm == "canary" else served.stable if arm == "stable" else served.unsplit

    async def stable(self, principal: Principal) -> Application:
        place = self._place(principal)
        return (self._served.get(place) or await self._open(place)).stable

    def live_releases(self) -> list[LiveRelease]:
        """Those that this process serves."""
        return [each.live for each in self._served.values() if each.live is not None]

    def has_canary(self, principal: Principal) -> bool:
        served = self._served.get(self._place(principal))
        return served is not None and served.canary is not None

    def _place(self, principal: Principal) -> Place:
        return principal.tenant, principal.project, principal.environment or self._default

    def _arm(self, live: LiveRelease, unit: RequestUnit) -> Arm | Unsplit:
        if live.share > 0 and time.monotonic() - self._read_at > STALE_S:
            return "unsplit"
        return arm_of(live, unit, time.time())

    async def _forced(self, principal: Principal, place: Place, hash: str) -> Application:
        if "manage_releases" not in principal.permissions:
            raise Forbidden(
                "this key cannot choose a release: it lacks the permission `manage_releases`",
                "leave the header `x-sizewise-release` out",
            )
        stored = await self._releases.find(place[0], place[1], hash.lower())
        app = await self.application(place[0], place[1], stored.hash)
        return _labelled(app, ReleaseLabel(place[2], stored.hash, "forced"))

    async def _open(self, place: Place) -> ServedEnvironment:
        """The first request in an environment builds what answers there."""
        published = self._published
        assert published is not None
        if place[2] not in published.settings.environments:
            raise Forbidden(
                f"the environment {place[2]!r} of this key is not in the settings",
                f"add a table [environments.{place[2]}], or create a key of another environment",
            )
        if self._rows is None:
            await self._read()
        await self._serve(place)
        return self._served[place]

    # ---- flow runs

    async def release_of(self, principal: Principal) -> RunRelease | None:
        if self._published is None or not self._published.settings.environments:
            return None
        return _run_release(await self.choose(principal, RequestUnit(key=principal.key_id)))

    async def release_of_run(self, run: FlowRun) -> RunRelease:
        assert run.environment is not None
        if run.release is None:
            return RunRelease(run.environment)
        app = await self.application(run.tenant, run.project, run.release)
        return _run_release(_labelled(app, ReleaseLabel(run.environment, run.release)))

    async def executor_of(self, run: FlowRun) -> ExecuteFlow:
        assert run.release is not None
        return (await self.application(run.tenant, run.project, run.release)).run_flow

    # ---- applications

    async def application(self, tenant: str, project: str, hash: str) -> Application:
        key = tenant, project, hash
        found = self._applications.get(key)
        if found is not None:
            self._applications.move_to_end(key)
            return found
        task = self._building.get(key)
        if task is None:
            task = self._building[key] = asyncio.get_running_loop().create_task(self._build(key))
            task.add_done_callback(lambda _: self._building.pop(key, None))
        return await asyncio.shield(task)

    async def _build(self, key: ReleaseKey) -> Application:
        """On a thread: requests are answered meanwhile. Again, if the settings changed meanwhile."""
        release = await self._releases.load(*key)
        built = published = None
        while built is None or published is not self._published:
            published = self._published
            assert published is not None
            built = await asyncio.to_thread(self._build_application, published, release, key[0], key[1])
        self._applications[key] = built
        self._evict()
        return built

    def _evict(self) -> None:
        live = [each.live for each in self._served.values() if each.live is not None]
        needed = {
            (*each.place[:2], hash) for each in live for hash in (each.release, each.previous, each.canary) if hash
        }
        spare = [key for key in self._applications if key not in needed]
        for key in spare[: max(0, len(spare) - KEPT)]:
            del self._applications[key]

    # ---- what is live

    def periodic_tasks(self) -> list[PeriodicTask]:
        more = self.canaries.periodic_tasks() if self.canaries is not None else []
        return [PeriodicTask("live releases", POLL_S, self.refresh, at_once=True), *more]

    async def refresh(self) -> None:
        if self._published is None or not self._published.settings.environments:
            return
        async with self._refreshing:
            rows = await self._read()
            if self.before_refresh is not None and await self.before_refresh(rows):
                await self._read()
            for place in tuple(self._served):
                await self._serve(place)

    async def _read(self) -> dict[Place, LiveRelease]:
        self._rows = {each.place: each for each in await self._store.list_live()}
        self._read_at = time.monotonic()
        return self._rows

    async def _serve(self, place: Place) -> None:
        """Builds what is live, then serves it. What cannot be built changes nothing, unless nothing is served yet.

        Raises what building raises, if nothing is served.
        """
        served, live = self._served.get(place), (self._rows or {}).get(place)
        if served is not None and served.live == live and place not in self._outdated:
            return
        try:
            self._served[place] = await self._built(place, live)
        except SizewiseError as error:
            if served is None:
                raise
            if self._problems.get(place) != error.message:
                log.error("the live release of %s in %s cannot be served: %s", place[1], place[2], error.message)
            self._problems[place] = error.message
            return
        self._outdated.discard(place)
        self._problems.pop(place, None)

    async def _built(self, place: Place, live: LiveRelease | None) -> ServedEnvironment:
        assert self._published is not None
        if live is None:
            return ServedEnvironment(None, _labelled(self._published, ReleaseLabel(place[2])))
        stable = await self.application(place[0], place[1], live.release)
        arm = "stable" if live.canary else ""
        canary = unsplit = None
        if live.canary:
            built = await self.application(place[0], place[1], live.canary)
            canary = _labelled(built, ReleaseLabel(place[2], live.canary, "canary"))
            unsplit = _labelled(stable, ReleaseLabel(place[2], live.release, "unsplit"))
        served = _labelled(stable, ReleaseLabel(place[2], live.release, arm))
        if self.canaries is not None:
            served = replace(served, handler=self.canaries.observing(served.handler, live))
        return ServedEnvironment(live, served, canary, unsplit)

    def state(self, place: Place) -> ServedState:
        served = self._served.get(place)
        live = served.live if served is not None else None
        if live is None:
            return ServedState(problem=self._problems.get(place, ""))
        return ServedState(live.release, live.canary or "", self._problems.get(place, ""))


def _run_release(app: Application) -> RunRelease:
    label, parts = app.label, app.resources.release
    assert label is not None
    return RunRelease(label.environment, label.release, None if parts is None else parts.flows)


def _labelled(app: Application, label: ReleaseLabel) -> Application:
    return replace(app, label=label, handler=labelling(app.handler, label), moderation=labelling(app.moderation, label))
