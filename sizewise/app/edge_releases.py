"""Releases of a small machine: takes what its gateway offers, once the signature, its own evals and settings allow it.

What is live here changes in one row of the database, by the same checks as `sizewise release apply`. An offer that was
refused, or taken back because an alert of the machine began to fire, is not tried again until the gateway offers
something else; what came damaged is fetched again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from functools import partial

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from sizewise.alerts.tables import firing_series
from sizewise.app import release_changes
from sizewise.app.application import Application
from sizewise.app.first_releases import folder_owner
from sizewise.app.release_gates import answers_of_release, judge_gate
from sizewise.app.release_plan import apply_plan, plan_release
from sizewise.app.services import Services
from sizewise.errors import BadRequest, ConfigError, ExternalFailure
from sizewise.http.client import HttpTimeouts
from sizewise.jobs.periodic_tasks import PeriodicTask
from sizewise.principal import Principal
from sizewise.releases.edges import tables
from sizewise.releases.edges.offer import Offer, SignedOffer, read_offer, unpack_release
from sizewise.releases.edges.tables import HandledOffer
from sizewise.releases.environments.environment_store import Place
from sizewise.releases.environments.tables import LiveRelease
from sizewise.releases.manifest import Release
from sizewise.settings.edge import EdgeSettings
from sizewise.settings.environments import default_environment
from sizewise.settings.load import resolve_secret
from sizewise.settings.validators import ed25519_key
from sizewise.storage.leader_lease import StaleLeader
from sizewise.telemetry.edges.machine_reports import MachineStanding

log = logging.getLogger("sizewise.releases")

INTERVAL_S = 10.0
AGAIN_S = 1.0
MAX_OFFER_BYTES = 16_384
TIMEOUTS = HttpTimeouts(connect=5, first_byte=10, between_bytes=10, total=600)


class Download(Struct):
    """What has come of an archive: it goes on from there."""

    offer: Offer
    received: bytearray


class EdgeReleases:
    """One per process; does nothing without `release_key` in [edge]."""

    def __init__(self, get_app: Callable[[], Application]) -> None:
        """`get_app`: the application of what is published."""
        self._get_app = get_app
        self._download: Download | None = None

    def periodic_tasks(self) -> list[PeriodicTask]:
        return [PeriodicTask("releases of the gateway", INTERVAL_S, self._look, at_once=True, leader_only=True)]

    async def _look(self) -> float | None:
        """The seconds until the next look, if soon. Raises SizewiseError for what may be better the next time."""
        app = self._get_app()
        settings, services = app.settings.edge, app.resources.services
        if not settings.release_key:
            return None
        owner = folder_owner(services)
        place = release_changes.place_of(app, owner, default_environment(app.settings.environments))
        read, write = services.storage.database.read_transaction, services.leadership.write
        known = await asyncio.to_thread(read, partial(tables.find_handled, place=place))
        live = await _tell(services, place, known)
        if known is not None and live is not None and live.release == known.release:
            firing = await asyncio.to_thread(read, partial(firing_series, tenant=owner.tenant))
            alarm = next((each.rule for each in firing if each.since > live.changed), "")
            if alarm and time.time() * 1_000 < live.changed + WATCHED_MS:
                try:
                    known = await _take_back(app, owner, place, known, alarm)
                except StaleLeader:
                    return None
                live = await _tell(services, place, known)
        offer = await self._fetch_offer(app, settings)
        if known is not None and (known.release, known.since) == (offer.release, offer.since):
            return None
        if known is not None and offer.since < known.since:
            raise BadRequest(
                f"the release {offer.release[:12]} is offered, which is older than the last one",
                "nothing was changed; look at what lies between this machine and the gateway",
            )
        handled = HandledOffer(offer.release, offer.since)
        if live is None or live.release != offer.release:
            release = unpack_release(await self._fetch_archive(app, settings, offer), offer)
            refused = await _take(app, owner, place, live, release)
            if refused is None:
                return AGAIN_S
            handled = replace(handled, refused=refused)
        try:
            await write(lambda c: tables.store_handled(c, place, handled))
        except StaleLeader:
            return None
        await _tell(services, place, handled)
        if handled.refused:
            log.warning("the release %s of the gateway is not taken: %s", offer.release[:12], handled.refused)
        else:
            log.info("the release %s of the gateway is taken", offer.release[:12])
        return None

    async def _fetch_offer(self, app: Application, settings: EdgeSettings) -> Offer:
        response = await app.client.endpoint(settings.origin).request(
            "GET", "/edge/release", headers=_headers(settings), purpose=PURPOSE, data_class="public", timeouts=TIMEOUTS
        )
        async with response:
            body = await response.read(MAX_OFFER_BYTES)
            if response.status != 200:
                raise ExternalFailure(f"the gateway offers no release: status {response.status}", _said(body))
        try:
            signed = msgspec.json.decode(body, type=SignedOffer)
        except msgspec.DecodeError as error:
            raise ExternalFailure("what the gateway offers cannot be read", "look at `origin` in [edge]") from error
        return read_offer(signed, ed25519_key(settings.release_key), settings.release_environment)

    async def _fetch_archive(self, app: Application, settings: EdgeSettings, offer: Offer) -> bytes:
        """Goes on where the network was cut. Raises SizewiseError."""
        if self._download is None or self._download.offer != offer:
            self._download = Download(offer, bytearray())
        received = self._download.received
        more = [("range", f"bytes={len(received)}-")] if received else []
        response = await app.client.endpoint(settings.origin).request(
            "GET",
            f"/edge/releases/{offer.release}",
            headers=[*_headers(settings), *more],
            purpose=PURPOSE,
            data_class="public",
            timeouts=TIMEOUTS,
        )
        async with response:
            if response.status not in (200, 206):
                raise ExternalFailure(f"the gateway sends no release: status {response.status}", "it is tried again")
            if response.status == 200:
                received.clear()
            while chunk := await response.read_chunk():
                received += chunk
                if len(received) > offer.bytes:
                    break
        self._download = None
        return bytes(received)


PURPOSE = "releases of the gateway"
WATCHED_MS = 3_600_000
"""Time after a release was taken in which an alert takes it back."""


async def _take_back(app: Application, owner: Principal, place: Place, known: HandledOffer, alarm: str) -> HandledOffer:
    """Back to the release that was live before, if there is one. Raises StaleLeader, Conflict, StorageError."""
    why = f"taken back: the alert {alarm!r} of this machine began to fire"
    try:
        await release_changes.rollback_release(app, owner, place[2], reason=why)
    except BadRequest:  # there was none before
        return known
    handled = replace(known, refused=why)
    await app.resources.services.leadership.write(lambda c: tables.store_handled(c, place, handled))
    log.warning("the release %s of the gateway is %s", known.release[:12], why)
    return handled


async def _tell(services: Services, place: Place, known: HandledOffer | None) -> LiveRelease | None:
    """What is live; the machine's reports say it too."""
    live = await services.environments.find(place)
    offered = HandledOffer("", 0) if known is None else known
    services.machine_reports.standing = MachineStanding(
        "" if live is None else live.release, offered.refused, offered.release, offered.since
    )
    return live


async def _take(
    app: Application, owner: Principal, place: Place, before: LiveRelease | None, release: Release
) -> str | None:
    """Why it is refused; empty: it is live, or a canary where the settings say so. None: what is live is not `before`
    any more, such as by the first release of a machine that starts; it is to be tried again.
    """
    services = app.resources.services
    try:
        stored, _ = await services.releases.save(owner, release)
        plan = await plan_release(app, owner, stored.hash, place[2])
        for gate in plan.gates:
            for hash in filter(None, (plan.row.base, plan.row.release)):
                await _run_eval(app, owner, gate.eval, hash)
            await judge_gate(app, owner, plan.row, gate.eval)
        await apply_plan(app, owner, plan.row.id, breaking=True, reason="offered by the gateway")
    except (BadRequest, ConfigError) as error:
        now = await services.environments.find(place)
        if (now and now.epoch) != (before and before.epoch):
            return None
        return f"{error.message} ({error.hint})" if error.hint else error.message
    return ""


def _headers(settings: EdgeSettings) -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {resolve_secret(settings.key)}")]


def _said(body: bytes) -> str:
    try:
        return str(msgspec.json.decode(body)["error"]["message"])[:300]
    except (msgspec.DecodeError, KeyError, TypeError):
        return "look at `origin` in [edge]"


async def _run_eval(app: Application, owner: Principal, suite: str, release: str) -> None:
    """Raises ExternalFailure for a run that does not end whole."""
    jobs = app.resources.eval_jobs
    id = await jobs.start(owner, suite, "", await answers_of_release(app, owner, release), is_new=False)
    status = await jobs.wait(id)
    if status is not None and status.state != "done":
        raise ExternalFailure(f"{suite} by {release[:12]} is not whole: {status.error or status.state}", "tried again")
