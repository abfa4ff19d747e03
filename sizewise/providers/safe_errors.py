"""Error sanitizer: takes secrets, tracebacks and prompts out of one model's errors before anyone sees or logs them."""

from __future__ import annotations

import logging
import time

from sizewise.errors import SizewiseError, UpstreamError
from sizewise.guardrails.upstream_error_text import client_text, log_text
from sizewise.messages import ChatRequest, EmbeddingRequest

REPEATED_LOG_S = 60.0  # seconds in which the same text is logged once
UNREADABLE = "the upstream sent an unreadable error"

log = logging.getLogger("sizewise.providers")


class ErrorSanitizer:
    """Changes errors in place. `own_secrets`: our credentials, which an upstream may echo."""

    def __init__(self, model: str, own_secrets: tuple[str, ...]) -> None:
        self._model = model
        self._own_secrets = own_secrets
        self._last_logged, self._logged_at = "", -REPEATED_LOG_S

    def __call__(self, error: SizewiseError, payload: ChatRequest | EmbeddingRequest, trace_id: str) -> None:
        """`error.message` gets safe; a withheld text goes to the log, and the message then names the trace."""
        message = client_text(self._without_own_secrets(error.message)) or UNREADABLE
        if isinstance(error, UpstreamError) and error.withheld_text is not None:
            text = log_text(self._without_own_secrets(error.withheld_text), payload)
            error.withheld_text = None
            self._log(message, text, trace_id)
            if trace_id:
                message = f"{message}; trace {trace_id}"
        if error.param is not None:
            error.param = client_text(self._without_own_secrets(error.param)) or None
        error.message = message
        error.args = (message,)

    def _without_own_secrets(self, text: str) -> str:
        for secret in self._own_secrets:
            text = text.replace(secret, "***")
        return text

    def _log(self, message: str, text: str, trace_id: str) -> None:
        said, now = f"{message}: {text}", time.monotonic()
        if said == self._last_logged and now < self._logged_at + REPEATED_LOG_S:
            return
        self._last_logged, self._logged_at = said, now
        log.warning("%s: %s: %r (trace %s)", self._model, message, text, trace_id or "none")
