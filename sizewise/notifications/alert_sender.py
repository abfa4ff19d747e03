"""Sender of alerts by HTTP: posts a message in the format of its receiver's kind; follows no redirect."""

from __future__ import annotations

import time
from urllib.parse import urlsplit

from sizewise.data_class import DataClass
from sizewise.errors import ExternalFailure
from sizewise.http.client import HttpClient, HttpHeaders, HttpTimeouts
from sizewise.http.egress import origin
from sizewise.notifications.alert_message import AlertMessage, decode_message
from sizewise.notifications.receiver_formats import FORMATS, PATHS, pagerduty
from sizewise.notifications.tables import OutboxMessage
from sizewise.notifications.webhook_signatures import sign_webhook
from sizewise.settings.alerts import ReceiverSettings
from sizewise.settings.load import resolve_secret

DATA_CLASS: DataClass = "internal"
TIMEOUTS = HttpTimeouts(connect=5, first_byte=15, between_bytes=5, total=20)


class AlertSender:
    """Of one `[receivers.NAME]` that takes HTTP."""

    def __init__(self, settings: ReceiverSettings, url: str, client: HttpClient) -> None:
        """`url`: resolved. Raises ConfigError."""
        parts = urlsplit(url)
        self._settings = settings
        self._endpoint = client.endpoint(origin(url))
        path = parts.path.rstrip("/") + PATHS.get(settings.kind, "") or "/"
        self._path = f"{path}?{parts.query}" if parts.query else path

    async def __call__(self, message: OutboxMessage) -> None:
        """Raises SizewiseError, without path and secret."""
        body, headers = self._encode(message, decode_message(message.body))
        response = await self._endpoint.request(
            "POST",
            self._path,
            body,
            [("content-type", "application/json"), *headers],
            purpose="an alert",
            data_class=DATA_CLASS,
            timeouts=TIMEOUTS,
        )
        response.release()
        if not 200 <= response.status < 300:
            raise ExternalFailure(f"status {response.status}", _hint(response.status))

    def _encode(self, message: OutboxMessage, alert: AlertMessage) -> tuple[bytes, HttpHeaders]:
        if self._settings.kind == "pagerduty":
            return pagerduty(alert, resolve_secret(self._settings.secret)), ()
        body = FORMATS[self._settings.kind](alert)
        if self._settings.kind != "webhook":
            return body, ()
        secrets = resolve_secret(self._settings.secret).split()
        return body, tuple(sign_webhook(secrets, message.id, int(time.time()), body).items())


def _hint(status: int) -> str:
    if status in (401, 403, 404, 410):
        return "the receiver does not accept this URL or secret: create a new one there and set it"
    return "look at the receiver's log"
