"""/hooks/git: the webhook of the host of [git], signed; has this server look at the branch now, and answers at once."""

from __future__ import annotations

import msgspec

from sizewise.app.application import Application
from sizewise.errors import BadRequest
from sizewise.gateway.request_head import RequestHead
from sizewise.gateway.response_writer import JSON, ResponseWriter, trace_headers
from sizewise.releases.push_signatures import is_signed
from sizewise.settings.load import resolve_secret


async def handle_push(app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    """Answers 202. What the body says is not read: the branch of the settings is fetched. Raises BadRequest."""
    headers = {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in head.headers}
    git = app.settings.git
    secrets = resolve_secret(git.webhook_secret).split() if git.url and git.webhook_secret else []
    if not is_signed(headers, body, secrets):  # the same error where there is no [git], so as not to reveal it
        raise BadRequest(
            "the webhook is not signed", "give the host the secret that `webhook_secret` in [git] refers to"
        )
    app.resources.services.git_sync.look_soon()
    shown = msgspec.json.encode({"branch": git.branch})
    await writer.send_response(202, [JSON, *trace_headers(head.trace)], shown)
