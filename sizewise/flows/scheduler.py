"""What starts a flow beside somebody who asks for it: a signed webhook, and a timetable; both as who published it.

What starts a run is named in its id: a webhook that is sent again, and a minute that several servers see, are one run.
A minute that passes while no server is up is not made up for.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from heapq import heapify, heappop, heappush
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct

from sizewise.errors import BadRequest, ConfigError, SizewiseError, UnknownPath
from sizewise.flows.executor import Library
from sizewise.flows.language.expression import Wrong, filled
from sizewise.flows.language.expression_parser import compiled
from sizewise.flows.language.flow_spec import Trigger
from sizewise.flows.language.types import Json
from sizewise.flows.run_service import Runs
from sizewise.flows.tables import Run
from sizewise.flows.versions.tables import Published
from sizewise.principal import Caller
from sizewise.telemetry.webhooks import Seen, verify

log = logging.getLogger("sizewise.flows")

LOOK_S = 1.0
"""Between two looks at what is published: so late a new timetable may come into force."""
FUTURE_S = 366 * 86_400
HEADERS = 100
HEADER = 8_192


class Due(Struct, frozen=True, order=True):
    """`at`: unix s."""

    at: int
    place: tuple[str, str, str, str]
    number: int


def objection(schedule: str, zone: str) -> str:
    """Why there is no such timetable, in words; empty where there is."""
    try:
        ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        return f"there is no time zone {zone[:60]!r}"
    return "" if _next(schedule, zone, time.time()) else f"{schedule[:60]!r} never comes"


def _next(schedule: str, zone: str, after: float) -> int:
    """The first second of a minute that comes, in unix s; 0: none within a year."""
    try:
        from croniter import CroniterBadDateError, CroniterError, croniter
    except ImportError as error:
        hint = "install Sizewise with its extra `flows`"
        raise ConfigError("timetables need a library that is not installed", hint) from error
    try:
        times = croniter(schedule, datetime.fromtimestamp(after, ZoneInfo(zone)), max_years_between_matches=2)
        return int(times.get_next(float))
    except (CroniterBadDateError, CroniterError, ValueError, KeyError):
        return 0


def given(trigger: Trigger, names: Mapping[str, Json]) -> bytes:
    """The inputs that a trigger makes of `names`, as JSON. Raises BadRequest."""
    try:
        inputs = filled(compiled(trigger.inputs), names)
    except Wrong as wrong:
        raise BadRequest(f"the trigger's inputs: {wrong.message}", wrong.hint) from wrong
    return msgspec.json.encode(inputs)


def _named(*parts: object) -> str:
    """The id of the run that this, and nothing else, starts. Nobody can take it before by saying it to startRun, whose
    ids have letters and digits only: it can be worked out."""
    return f"{parts[0]}-{sha256(chr(0).join(map(str, parts)).encode()).hexdigest()[:32]}"


class Hooks:
    """Webhooks that start flows."""

    def __init__(self, runs: Runs, library: Library) -> None:
        self._runs = runs
        self._library = library

    async def signed(
        self, project: str, flow: str, secrets: Sequence[str], headers: Mapping[str, str], body: bytes
    ) -> Run:
        """The run that this message starts, or has started. Raises Forbidden where it is not signed by one of
        `secrets`, UnknownPath where no such flow takes webhooks, BadRequest, and what `Runs.start` raises."""
        id = verify(headers, body, secrets, time.time(), Seen())
        published = self._runs.shelf.live("local", project, flow)
        caller = self._runs.publisher(published)
        inputs = await self.inputs(published, headers, body)
        run = _named("webhook", project, flow, id)
        return await self._runs.start(caller, flow, inputs, version=published.version, door="webhook", id=run)

    async def keyed(self, caller: Caller, flow: str, headers: Mapping[str, str], body: bytes, again: str = "") -> Run:
        """The same, for whoever has a key; `again` (an idempotency key) names the message."""
        published = self._runs.shelf.live(caller.tenant, caller.project, flow)
        inputs = await self.inputs(published, headers, body)
        run = _named("key", caller.tenant, caller.project, flow, caller.user or caller.key, again) if again else ""
        return await self._runs.start(caller, flow, inputs, version=published.version, door="webhook", id=run)

    async def inputs(self, published: Published, headers: Mapping[str, str], body: bytes) -> bytes:
        """What a message is to the flow: as its trigger says, or the message itself where that is an object."""
        where = (published.tenant, published.project, published.name, published.version)
        triggers = (await self._library.checked(*where)).spec.triggers
        trigger = next((each for each in triggers if each.kind == "webhook"), None)
        if trigger is None:
            raise UnknownPath(
                f"the flow {published.name!r} takes no webhooks", "add to it: triggers: [{kind: webhook}]"
            )
        said = _read(body)
        if trigger.inputs:
            few = {name: value[:HEADER] for name, value in list(headers.items())[:HEADERS] if name not in SECRET}
            return given(trigger, {"body": said, "headers": few})
        if not isinstance(said, dict):
            raise BadRequest("the message is no JSON object", "send the flow's inputs as one, or say `inputs` there")
        return msgspec.json.encode(said)


SECRET = frozenset({"authorization", "cookie", "x-api-key", "webhook-signature", "proxy-authorization"})
"""Headers that no flow sees."""


def _read(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return body.decode("utf-8", "replace")


class Timetable:
    """Starts the live flows that have one, each minute once, however many servers there are."""

    def __init__(self, runs: Runs, library: Library) -> None:
        self._runs = runs
        self._library = library
        self._known: list[Published] = []
        self._triggers: dict[tuple[str, str, str, str], tuple[Published, tuple[Trigger, ...]]] = {}
        self._waiting: list[Due] = []

    async def tend(self) -> None:
        """For ever."""
        while True:
            await self._look()
            now = time.time()
            while self._waiting and self._waiting[0].at <= now:
                await self._come(heappop(self._waiting))
            left = self._waiting[0].at - now if self._waiting else LOOK_S
            await asyncio.sleep(min(LOOK_S, max(0.01, left)))

    async def _look(self) -> None:
        """Takes up what was published or withdrawn since."""
        live = self._runs.shelf.every()
        if live == self._known:
            return
        self._known = live
        triggers = self._triggers
        self._triggers = {place: triggers.get(place) or await self._read(each) for each in live if (place := _at(each))}
        self._waiting = [due for due in self._waiting if due.place in self._triggers]
        heapify(self._waiting)
        for place in self._triggers.keys() - triggers.keys():
            for number in range(len(self._triggers[place][1])):
                self._later(place, number, time.time())

    async def _read(self, published: Published) -> tuple[Published, tuple[Trigger, ...]]:
        try:
            flow = await self._library.checked(*_at(published))
        except SizewiseError as error:
            log.warning("the flow %r has no timetable: %s", published.name, error.message)
            return published, ()
        return published, tuple(each for each in flow.spec.triggers if each.kind == "cron")

    def _later(self, place: tuple[str, str, str, str], number: int, after: float) -> None:
        published, triggers = self._triggers[place]
        trigger = triggers[number]
        wrong = objection(trigger.schedule, trigger.zone)
        if wrong:
            log.warning("the flow %r has no timetable: %s", published.name, wrong)
        else:
            heappush(self._waiting, Due(_next(trigger.schedule, trigger.zone, after), place, number))

    async def _come(self, due: Due) -> None:
        published, triggers = self._triggers[due.place]
        trigger = triggers[due.number]
        self._later(due.place, due.number, due.at)
        when = datetime.fromtimestamp(due.at, ZoneInfo(trigger.zone)).isoformat()
        try:
            run = _named("cron", *due.place[:3], due.number, due.at)
            await self._runs.start(
                self._runs.publisher(published),
                published.name,
                given(trigger, {"time": when}),
                version=published.version,
                door="cron",
                id=run,
            )
        except SizewiseError as error:
            log.warning("the flow %r did not start at %s: %s", published.name, when, error.message)


def _at(published: Published) -> tuple[str, str, str, str]:
    return published.tenant, published.project, published.name, published.version
