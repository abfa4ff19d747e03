"""/v1/scores: feedback and other judgements on answers, by their trace; reads none back, which is GraphQL's."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import Struct

from sizewise.app.application import Application
from sizewise.errors import BadBody
from sizewise.evals.scores.score_draft import ScoreDraft
from sizewise.evals.scores.tables import ScoreRow
from sizewise.gateway.request_head import RequestHead
from sizewise.gateway.response_writer import ResponseWriter
from sizewise.gateway.vector_stores import send_json
from sizewise.providers.wires.openai.request_response import decode_client_body

ENDPOINT = "scores"


class ScoreCreation(Struct, kw_only=True):
    """One of `trace` (the x-sizewise-trace of an answer), `span` and `session`; a `value` (0..1), a `label` or both."""

    trace: str | None = None
    span: str | None = None
    session: str | None = None
    name: str = "user"
    value: float | None = None
    label: str | None = None
    source: Literal["user", "person", "judge", "code"] = "user"
    scorer: str | None = None
    comment: str | None = None


_decoder = msgspec.json.Decoder(ScoreCreation)


async def create(app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    """POST /v1/scores. The caller's earlier score of this name on this target is replaced. Raises BadBody, BadRequest,
    Forbidden, and PathNotFound for an answer that is not the caller's.
    """
    principal = head.authorize(app, ENDPOINT)
    asked, fields = decode_client_body(body or b"{}", _decoder)
    for name in fields:
        if name not in ScoreCreation.__struct_fields__:
            known = ", ".join(ScoreCreation.__struct_fields__)
            raise BadBody(f"there is no field `{name[:100]}`", f"known: {known}", param=name[:100])
    said = {name: value for name, value in msgspec.structs.asdict(asked).items() if value is not None}
    row, _ = await app.resources.services.scores.add(principal, ScoreDraft(**said))
    await send_json(writer, head, _shown(row))


def _shown(row: ScoreRow) -> dict[str, Any]:
    return {
        "object": "score",
        "id": row.id,
        "target": row.kind,
        "target_id": row.target,
        "trace": row.trace,
        "session": row.session,
        "name": row.name,
        "value": row.value,
        "label": row.label,
        "source": row.source,
        "scorer": row.scorer,
        "created_at": row.created // 1_000,
    }
