"""/edge: where edges report what they answered, and get their release; the caller is a key that may `serve_edge`."""

from __future__ import annotations

import re

import msgspec

from sizewise.app import release_changes
from sizewise.app.application import Application
from sizewise.errors import BadRequest
from sizewise.gateway.request_head import RequestHead
from sizewise.gateway.response_writer import JSON, ResponseWriter, trace_headers
from sizewise.gateway.vector_stores import send_json
from sizewise.providers.wires.openai.request_response import decode_client_body
from sizewise.releases.environments.environment_store import Place
from sizewise.settings.environments import default_environment
from sizewise.telemetry.edges.report import EdgeReport

ENDPOINT = "edge"
ACTION = "serve_edge"
RANGE = re.compile(rb"bytes=(\d{1,12})-")
_decoder = msgspec.json.Decoder(EdgeReport)


async def take_records(app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    """POST /edge/records. A record that came before is not counted again. Raises BadBody."""
    principal = head.authorize(app, ENDPOINT, ACTION)
    report, _ = decode_client_body(body, _decoder)
    new = await app.resources.services.edges.store(principal, report)
    await send_json(writer, head, {"object": "edge.report", "new": new, "known": len(report.records) - new})


async def join(app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    """POST /edge/join: a new key in place of the caller's, which ends. So the key that travelled to a machine is good
    for one joining. Raises BadRequest for a key that may do more.
    """
    principal = head.authorize(app, ENDPOINT, ACTION)
    if principal.permissions != {ACTION} or principal.user_id:
        raise BadRequest(
            "this key may do more than an edge needs, and would lie on a machine that can be stolen",
            f"make one for it: sizewise keys create NAME --permissions {ACTION}",
        )
    keys = app.resources.services.api_keys
    made = await keys.rotate(principal.key_id, principal.tenant, 0, principal)
    environment = principal.environment or default_environment(app.settings.environments)
    said = {"object": "edge.machine", "id": made.key.id, "key": made.text, "environment": environment}
    await send_json(writer, head, said)


async def offer_release(app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    """GET /edge/release: what is live in the environment of the key, signed. Raises PathNotFound, BadRequest."""
    offers = app.resources.services.release_offers
    signed = await offers.offer(_place(app, head))
    await writer.send_response(200, [JSON, *trace_headers(head.trace)], msgspec.json.encode(signed))


async def send_release(app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    """GET /edge/releases/HASH: the bytes that were signed, or the rest of them by `Range: bytes=N-`. Raises
    PathNotFound.
    """
    archive = await app.resources.services.release_offers.archive(_place(app, head), body.decode("utf-8", "replace"))
    asked = RANGE.fullmatch(next((value for name, value in head.headers if name == b"range"), b""))
    begin = int(asked[1]) if asked is not None else 0
    headers = [(b"content-type", b"application/octet-stream"), *trace_headers(head.trace)]
    if 0 < begin < len(archive):
        said = b"bytes %d-%d/%d" % (begin, len(archive) - 1, len(archive))
        await writer.send_response(206, [*headers, (b"content-range", said)], archive[begin:])
    else:
        await writer.send_response(200, headers, archive)


def _place(app: Application, head: RequestHead) -> Place:
    principal = head.authorize(app, ENDPOINT, ACTION)
    named = principal.environment or default_environment(app.settings.environments)
    return release_changes.place_of(app, principal, named)
