"""GET /v1/models and /v1/models/{id}: the models a key may use, in OpenAI's format or, if asked so, Anthropic's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from functools import partial

import msgspec

from sizewise.app.application import Application
from sizewise.errors import ModelNotFound, SizewiseError
from sizewise.flows.as_model import MODEL_PREFIX
from sizewise.gateway import model_list_anthropic
from sizewise.gateway.anthropic import ERROR_FORMAT as ANTHROPIC_ERRORS
from sizewise.gateway.error_response import send_error
from sizewise.gateway.listed_model import ListedModel, listed_card
from sizewise.gateway.request_head import RequestHead
from sizewise.gateway.response_writer import JSON, ResponseWriter, trace_headers
from sizewise.model_card import ModelCard
from sizewise.principal import Principal, matches_any
from sizewise.providers.wires.anthropic.wire import VERSION_HEADER

OWN = "sizewise"
"""The owner of names that are no model's: roles, aliases and flows."""


async def list_models(app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    """GET /v1/models: the models that this key may use."""
    if _asks_for_anthropic(head):
        return await _in_anthropic_format(app, head, writer, partial(_anthropic_page, app, head))
    principal = head.authorize(app, "models", "")
    data = [_openai_entry(each) for each in _listed(app, principal)]
    await _send(head, writer, {"object": "list", "data": data})


async def get_model(app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    """GET /v1/models/{id}: `body` is the id from the path. Raises ModelNotFound."""
    name = body.decode("utf-8", "replace")
    if _asks_for_anthropic(head):
        return await _in_anthropic_format(app, head, writer, partial(_anthropic_model, app, head, name))
    await _send(head, writer, _openai_entry(_find(app, head.authorize(app, "models", ""), name)))


# ---- formats --------------------------------------------------------------------------------------------------------


def _asks_for_anthropic(head: RequestHead) -> bool:
    """Anthropic's SDKs and tools send their version with every request, others never do."""
    return any(name == VERSION_HEADER.encode() for name, _ in head.headers)


def _openai_entry(model: ListedModel) -> dict[str, object]:
    entry: dict[str, object] = {
        "id": model.id,
        "object": "model",
        "created": model.created,
        "owned_by": model.owner,
    }
    return entry | ({"sizewise": model.details} if model.details else {})


def _anthropic_page(app: Application, head: RequestHead) -> dict[str, object]:
    principal = head.authorize(app, "models", "")
    return model_list_anthropic.page(list(_listed(app, principal)), head.query_string)


def _anthropic_model(app: Application, head: RequestHead, name: str) -> dict[str, object]:
    return model_list_anthropic.entry(_find(app, head.authorize(app, "models", ""), name))


async def _in_anthropic_format(
    app: Application, head: RequestHead, writer: ResponseWriter, build: Callable[[], dict[str, object]]
) -> None:
    """Answers and refuses as Anthropic's API does."""
    try:
        shown = build()
    except SizewiseError as error:
        app.resources.metrics.count_rejection(error.code)
        return await send_error(writer, error, trace_headers(head.trace), ANTHROPIC_ERRORS, head.trace)
    await _send(head, writer, shown, (b"request-id", head.trace.encode()))


def _send(
    head: RequestHead, writer: ResponseWriter, shown: dict[str, object], *more: tuple[bytes, bytes]
) -> Awaitable[None]:
    return writer.send_response(200, [JSON, *trace_headers(head.trace), *more], msgspec.json.encode(shown))


# ---- models ---------------------------------------------------------------------------------------------------------


def _listed(app: Application, principal: Principal) -> Iterator[ListedModel]:
    """Roles and aliases first, then the project's flows, then the models."""
    for name in app.aliases.role_names:
        if _may_use(app, principal, name):
            yield _role(app, name)
    yield from _flows(app, principal)
    scope = principal.scope
    for card in app.cards:
        if scope is None or matches_any(card.name, scope.models):
            yield _card(app, card)


def _find(app: Application, principal: Principal, name: str) -> ListedModel:
    """Raises ModelNotFound."""
    if name in app.aliases.role_names and _may_use(app, principal, name):
        return _role(app, name)
    for flow in _flows(app, principal):
        if name == flow.id:
            return flow
    card, scope = app.aliases.find_card(name), principal.scope
    if scope is not None and not matches_any(card.name, scope.models):
        raise ModelNotFound(f"there is no model named {name[:200]!r} for this key", param="model")
    return _card(app, card)


def _card(app: Application, card: ModelCard) -> ListedModel:
    return listed_card(card, app.settings.cache_dir, app.resources.started_at)


def _may_use(app: Application, principal: Principal, role: str) -> bool:
    """Whether the key may use the model that an alias stands for; true of roles and policies, which choose models."""
    target, scope = app.aliases.alias_target(role), principal.scope
    return scope is None or "/" not in target or matches_any(target, scope.models)


def _role(app: Application, name: str) -> ListedModel:
    """An alias of a model is as old as the model."""
    target, created = app.aliases.alias_target(name), int(app.resources.started_at)
    details: dict[str, object] = {}
    if target:
        details = {"alias_of": target}
        created = next((_card(app, card).created for card in app.cards if card.name == target), created)
    return ListedModel(id=name, owner=OWN, created=created, title=name, details=details)


def _flows(app: Application, principal: Principal) -> Iterator[ListedModel]:
    """The flows of the caller's project that the key may use."""
    scope = principal.scope.flows if principal.scope is not None else ()
    for flow in app.resources.services.flow_versions.list_published(principal.tenant, principal.project):
        if not scope or flow.name in scope:
            yield ListedModel(MODEL_PREFIX + flow.name, OWN, flow.at // 1000, flow.name)
