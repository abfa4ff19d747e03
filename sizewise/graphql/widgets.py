"""Fields of chat widgets: what stands where, at which price a day, and the tag for the page; serves no visitor."""

from __future__ import annotations

from msgspec.structs import replace

from sizewise.auth.authorization import Resource, require_permission
from sizewise.data_class import DataClass
from sizewise.errors import BadRequest
from sizewise.flows.acting_nodes import WAITING
from sizewise.flows.node_registry import NodeRegistry
from sizewise.graphql.context import RequestContext
from sizewise.graphql.keys import creator_expiry, strictest_class
from sizewise.graphql.model_type import FieldValues
from sizewise.graphql.widget_warnings import published_flow, widget_warnings
from sizewise.limits.rules import format_amount
from sizewise.widgets.tables import Widget, WidgetSettings

FIVE_DOLLARS = 5 * 10**12
"""A day, in pico-dollars."""


async def widgets(context: RequestContext) -> list[FieldValues]:
    """Raises Forbidden."""
    _require_keys(context)
    return [_widget(context, each) for each in await context.services.widgets.list(context.principal)]


async def widget(context: RequestContext, name: str) -> FieldValues:
    """Raises PathNotFound, Forbidden."""
    _require_keys(context)
    return _widget(context, await context.services.widgets.by_name(context.principal, name))


async def create_widget(
    context: RequestContext,
    name: str,
    target: str,
    origins: list[str],
    usd_per_day: int | None = None,
    data_class: DataClass = "public",
    **given: object,
) -> FieldValues:
    """No visitor may do what the caller may not. Raises BadRequest for a target that is none, or a flow with effects;
    Conflict, Forbidden.
    """
    _require_keys(context)
    principal = context.principal
    require_permission(principal, "ask", Resource(principal.tenant, principal.project))
    await _check_target(context, target)
    settings = replace(WidgetSettings(), origins=tuple(origins), **_said(given))
    made = await context.services.widgets.create(
        principal,
        name,
        target,
        settings,
        usd_per_day=FIVE_DOLLARS if usd_per_day is None else usd_per_day,
        data_class=strictest_class(data_class, principal) or data_class,
        expires=await creator_expiry(context),
    )
    return _widget(context, made)


async def set_widget(
    context: RequestContext, name: str, origins: list[str] | None = None, **given: object
) -> FieldValues:
    """Raises PathNotFound, BadRequest, Forbidden."""
    _require_keys(context)
    principal = context.principal
    found = await context.services.widgets.by_name(principal, name)
    named = {"origins": tuple(origins)} if origins is not None else {}
    changed = replace(found.settings, **named, **_said(given))
    return _widget(context, await context.services.widgets.set(principal, found, changed))


def _require_keys(context: RequestContext) -> None:
    """A widget is a key of its project and nobody's own, so `own_keys` is not enough."""
    principal = context.principal
    require_permission(principal, "manage_keys", Resource(principal.tenant, principal.project))


def _said(given: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in given.items() if value is not None}


async def _check_target(context: RequestContext, target: str) -> None:
    kind, _, name = target.partition(":")
    if kind == "auto" and name:
        if name not in context.app.settings.policies:
            raise BadRequest(f"there is no policy {name[:100]!r}", "use auto:NAME of [policies.NAME]", param="target")
        return
    if kind != "flow" or not name:
        raise BadRequest(f"{target[:100]!r} is no target", "use auto:POLICY or flow:NAME", param="target")
    spec, kinds = await published_flow(context, name), NodeRegistry()
    for node in spec.all_nodes() if spec is not None else ():
        known = kinds(node.kind)
        if node.kind not in WAITING and (known is None or known.node_class.has_side_effects):
            raise BadRequest(
                f"the node {node.id!r} of the flow acts on something ({node.kind}), and its visitors are strangers",
                "give the widget a flow without such nodes",
                param="target",
            )


def _widget(context: RequestContext, widget: Widget) -> FieldValues:
    its = widget.settings

    async def per_day(info: object) -> FieldValues:
        limits = await context.services.limiter.list_statuses(widget.tenant)
        daily = next((each for each in limits if each.key[1:] == (f"key:{widget.key}", "usd/day")), None)
        if daily is None:
            return {"limit": None, "spent": None}
        return {"limit": format_amount("usd/day", daily.limit), "spent": format_amount("usd/day", daily.spent)}

    async def warnings(info: object) -> list[str]:
        return await widget_warnings(context, widget)

    return {
        "id": widget.id,
        "name": widget.name,
        "key": widget.key,
        "target": widget.target,
        "origins": list(its.origins),
        "page": its.page,
        "title": its.title,
        "greeting": its.greeting,
        "note": its.note,
        "perConversation": its.per_conversation,
        "perMinute": its.per_minute,
        "perHour": its.per_hour,
        "openAnswers": its.open_answers,
        "characters": its.characters,
        "created": widget.created,
        "createdBy": widget.by,
        "stopped": widget.revoked,
        "usdPerDay": per_day,
        "path": f"/embed/{widget.id}",
        "warnings": warnings,
    }
