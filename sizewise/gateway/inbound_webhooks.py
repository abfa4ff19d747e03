"""/hooks/flows/NAME: a signed webhook, or a key, starts a flow; the answer is the run's id and never its words."""

from __future__ import annotations

from functools import partial

import msgspec

from sizewise.app.application import House
from sizewise.errors import BadRequest, Forbidden
from sizewise.flows.tables import Run
from sizewise.gateway.request_context import JSON, Door, Knock, Out, traced
from sizewise.settings.load import secret

DOOR = "hooks"


def named(name: str) -> Door:
    """The door of the trigger, or the flow, of this name."""
    return partial(_door, name)


async def _door(name: str, house: House, seen: Knock, body: bytes, out: Out) -> None:
    """202 and the run. A key starts the flow NAME of its project; a signed message that of [triggers.NAME]. Who says
    the same twice (webhook-id, Idempotency-Key) gets the same run."""
    headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in seen.headers}
    run = await (_signed if "webhook-signature" in headers else _by_key)(name, house, seen, headers, body)
    shown = {"run": run.id, "flow": run.flow, "version": run.version, "state": run.state}
    await out.whole(202, [JSON, *traced(seen.trace)], msgspec.json.encode(shown))


async def _by_key(name: str, house: House, seen: Knock, headers: dict[str, str], body: bytes) -> Run:
    caller = seen.enter(house, DOOR)
    return await house.means.keeper.hooks.keyed(caller, name, headers, body, seen.wishes.get("idempotency-key", ""))


async def _signed(name: str, house: House, seen: Knock, headers: dict[str, str], body: bytes) -> Run:
    trigger = house.settings.triggers.get(name)
    if trigger is None:  # as for a wrong signature: which there are is nobody's business
        raise Forbidden("the webhook is not signed", "send webhook-id, webhook-timestamp and webhook-signature")
    secrets = secret(trigger.secret).split()
    if not secrets:
        raise BadRequest("this webhook has no secret", f'name one: secret = "env:..." in [triggers.{name}]')
    return await house.means.keeper.hooks.signed(trigger.project, trigger.flow, secrets, headers, body)
