"""/hooks/flows/NAME: inbound webhooks, signed or with an API key, that start a flow; returns the run's id."""

from __future__ import annotations

import time
from functools import partial

import msgspec

from sizewise.app.application import Application
from sizewise.errors import ConfigError
from sizewise.flows.scheduler import WebhookTriggers
from sizewise.flows.tables import FlowRun
from sizewise.gateway.request_head import RequestHead, RouteHandler
from sizewise.gateway.response_writer import JSON, ResponseWriter, trace_headers
from sizewise.notifications.webhook_signatures import invalid_signature, read_signature_headers, require_secrets
from sizewise.settings.load import resolve_secret

ENDPOINT = "hooks"


def webhook_handler(triggers: WebhookTriggers, name: str) -> RouteHandler:
    """The route handler of the trigger or flow of this name."""
    return partial(_handle_webhook, triggers, name)


async def _handle_webhook(
    triggers: WebhookTriggers, name: str, app: Application, head: RequestHead, body: bytes, writer: ResponseWriter
) -> None:
    """Answers 202 with the run. A key starts the flow `name` of its project; a signature starts that of
    [triggers.NAME]. Repeating a request (webhook-id, Idempotency-Key) returns the same run.
    """
    headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in head.headers}
    run = await (_start_by_signature if "webhook-signature" in headers else _start_by_key)(
        triggers,
        name,
        app,
        head,
        headers,
        body,
    )
    shown = {"run": run.id, "flow": run.flow, "version": run.version, "state": run.state}
    await writer.send_response(202, [JSON, *trace_headers(head.trace)], msgspec.json.encode(shown))


async def _start_by_key(
    triggers: WebhookTriggers,
    name: str,
    app: Application,
    head: RequestHead,
    headers: dict[str, str],
    body: bytes,
) -> FlowRun:
    principal = head.authorize(app, ENDPOINT)
    return await triggers.start_authenticated(
        principal,
        name,
        headers,
        body,
        head.options.get("idempotency-key", ""),
    )


async def _start_by_signature(
    triggers: WebhookTriggers,
    name: str,
    app: Application,
    head: RequestHead,
    headers: dict[str, str],
    body: bytes,
) -> FlowRun:
    trigger = app.settings.triggers.get(name)
    if trigger is None:  # same errors as for one that exists, so as not to reveal which triggers there are
        read_signature_headers(headers, time.time())
        raise invalid_signature()
    return await triggers.start_signed(
        trigger.project,
        trigger.flow,
        _secrets(trigger.secret, name),
        headers,
        body,
    )


def _secrets(reference: str, name: str) -> list[str]:
    """Raises ConfigError, which tells a stranger nothing of the settings."""
    try:
        secrets = resolve_secret(reference).split()
        require_secrets(secrets, name)
    except ConfigError as error:
        hint = "run `sizewise doctor` where the server runs"
        raise ConfigError("the server has no secret to verify this webhook with", hint) from error
    return secrets
