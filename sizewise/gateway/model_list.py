"""GET /v1/models and /v1/models/{id}: the models a key may use, in OpenAI's format with a few extra fields."""

from __future__ import annotations

import msgspec

from sizewise.app.application import Application
from sizewise.errors import ModelNotFound
from sizewise.gateway.request_context import JSON, RequestHead, ResponseWriter
from sizewise.model_card import ModelCard
from sizewise.principal import Principal, matches_any


async def list_models(app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    """GET /v1/models: the models that this key may use."""
    principal = head.authorize(app, "models", "")
    scope = principal.scope
    cards = [card for card in app.cards if scope is None or matches_any(card.name, scope.models)]
    listed = [_role_entry(app, name) for name in app.aliases.role_names if _may_use(app, principal, name)]
    listed += [_entry(name, "sizewise") for name in _flow_names(app, principal)]
    listed += [_model_entry(card) for card in cards]
    await writer.send_response(200, [JSON], msgspec.json.encode({"object": "list", "data": listed}))


async def get_model(app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    """GET /v1/models/{id}: `body` is the id from the path. Raises ModelNotFound."""
    principal = head.authorize(app, "models", "")
    scope = principal.scope
    name = body.decode("utf-8", "replace")
    if name in app.aliases.role_names and _may_use(app, principal, name):
        shown = _role_entry(app, name)
    elif name in _flow_names(app, principal):
        shown = _entry(name, "sizewise")
    else:
        card = app.aliases.find_card(name)
        if scope is not None and not matches_any(card.name, scope.models):
            raise ModelNotFound(f"there is no model named {name[:200]!r} for this key", param="model")
        shown = _model_entry(card)
    await writer.send_response(200, [JSON], msgspec.json.encode(shown))


def _may_use(app: Application, principal: Principal, role: str) -> bool:
    """Whether the key may use the model that an alias stands for; true of roles and policies, which choose models."""
    target, scope = app.aliases.alias_target(role), principal.scope
    return scope is None or "/" not in target or matches_any(target, scope.models)


def _role_entry(app: Application, name: str) -> dict[str, object]:
    target = app.aliases.alias_target(name)
    return _entry(name, "sizewise") | ({"sizewise": {"alias_of": target}} if target else {})


def _flow_names(app: Application, principal: Principal) -> list[str]:
    """The flows of the caller's project that the key may use."""
    scope = principal.scope.flows if principal.scope is not None else ()
    names = [
        each.name for each in app.resources.services.flow_versions.list_published(principal.tenant, principal.project)
    ]
    return [f"flow:{name}" for name in names if not scope or name in scope]


def _entry(name: str, owner: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": 0, "owned_by": owner}


def _model_entry(card: ModelCard) -> dict[str, object]:
    facts: dict[str, object] = {"context": card.context, "size": card.size, "place": card.place, "tools": card.tools}
    return _entry(card.name, card.endpoint.provider) | {"sizewise": facts}
