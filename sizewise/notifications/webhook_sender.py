"""Sender of webhooks: signs a message and posts it to its receiver; follows no redirect, retries nothing."""

from __future__ import annotations

import time
from urllib.parse import urlsplit

from sizewise.data_class import DataClass
from sizewise.errors import ExternalFailure
from sizewise.http.client import HttpClient, HttpTimeouts
from sizewise.http.egress import origin
from sizewise.notifications.tables import OutboxMessage
from sizewise.notifications.webhook_signatures import sign_webhook
from sizewise.settings.load import resolve_secret
from sizewise.settings.server import WebhookSettings

DATA_CLASS: DataClass = "internal"
"""The data class of messages: names, counts and sums, never prompt text."""
TIMEOUTS = HttpTimeouts(connect=5, first_byte=15, between_bytes=5, total=20)


class WebhookSender:
    """Of one `[webhooks.NAME]`."""

    def __init__(self, settings: WebhookSettings, client: HttpClient) -> None:
        """Raises ConfigError for an invalid URL."""
        self._settings = settings
        self._endpoint = client.endpoint(origin(settings.url))
        self._path = urlsplit(settings.url).path or "/"

    async def __call__(self, message: OutboxMessage) -> None:
        """Raises SizewiseError, without path and secret."""
        body = message.body.encode()
        secrets = resolve_secret(self._settings.secret).split()
        signed = sign_webhook(secrets, message.id, int(time.time()), body)
        response = await self._endpoint.request(
            "POST",
            self._path,
            body,
            [("content-type", "application/json"), *signed.items()],
            purpose="a webhook",
            data_class=DATA_CLASS,
            timeouts=TIMEOUTS,
        )
        response.release()
        if not 200 <= response.status < 300:
            raise ExternalFailure(f"status {response.status}", "look at the receiver's log")
