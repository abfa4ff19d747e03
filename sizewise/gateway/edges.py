"""/edge: where edges report what they answered; the caller is a key with the permission `serve_edge`."""

from __future__ import annotations

import msgspec

from sizewise.app.application import Application
from sizewise.gateway.request_head import RequestHead
from sizewise.gateway.response_writer import ResponseWriter
from sizewise.gateway.vector_stores import send_json
from sizewise.providers.wires.openai.request_response import decode_client_body
from sizewise.telemetry.edges.report import EdgeReport

ENDPOINT = "edge"
ACTION = "serve_edge"
_decoder = msgspec.json.Decoder(EdgeReport)


async def take_records(app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    """POST /edge/records. A record that came before is not counted again. Raises BadBody."""
    principal = head.authorize(app, ENDPOINT, ACTION)
    report, _ = decode_client_body(body, _decoder)
    new = await app.resources.services.edges.store(principal, report)
    await send_json(writer, head, {"object": "edge.report", "new": new, "known": len(report.records) - new})
