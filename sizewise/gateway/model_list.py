"""GET /v1/models and /v1/models/{id}: what this key may name, in OpenAI's shape with a few facts more."""

from __future__ import annotations

import msgspec

from sizewise.app.application import House
from sizewise.errors import UnknownModel
from sizewise.gateway.request_context import JSON, Knock, Out
from sizewise.model_card import Card
from sizewise.principal import Caller, within


async def models(house: House, seen: Knock, body: bytes, out: Out) -> None:
    """GET /v1/models: what this key may name."""
    caller = seen.enter(house, "models", "")
    scope = caller.scope
    cards = [card for card in house.cards if scope is None or within(card.name, scope.models)]
    listed = [_named(name, "sizewise") for name in (*house.roles(), *_flows(house, caller))]
    listed += [_model(card) for card in cards]
    await out.whole(200, [JSON], msgspec.json.encode({"object": "list", "data": listed}))


async def model(house: House, seen: Knock, body: bytes, out: Out) -> None:
    """GET /v1/models/{id}: the id comes in as the body, taken from the path. Raises UnknownModel."""
    caller = seen.enter(house, "models", "")
    scope = caller.scope
    name = body.decode("utf-8", "replace")
    if name in house.roles() or name in _flows(house, caller):
        shown = _named(name, "sizewise")
    else:
        card = house.card(name)
        if scope is not None and not within(card.name, scope.models):
            raise UnknownModel(f"there is no model named {name[:200]!r} for this key", param="model")
        shown = _model(card)
    await out.whole(200, [JSON], msgspec.json.encode(shown))


def _flows(house: House, caller: Caller) -> list[str]:
    """The flows of the caller's project that the key may use."""
    scope = caller.scope.flows if caller.scope is not None else ()
    names = [each.name for each in house.means.keeper.runs.shelf.every(caller.tenant, caller.project)]
    return [f"flow:{name}" for name in names if not scope or name in scope]


def _named(name: str, owner: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": 0, "owned_by": owner}


def _model(card: Card) -> dict[str, object]:
    facts: dict[str, object] = {"context": card.context, "size": card.size, "place": card.place, "tools": card.tools}
    return _named(card.name, card.endpoint.provider) | {"sizewise": facts}
