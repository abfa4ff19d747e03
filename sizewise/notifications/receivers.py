"""Receivers of the outbox, built from the settings: each has the name in the outbox and the sender of its kind."""

from __future__ import annotations

from collections.abc import Mapping

from sizewise.http.client import HttpClient
from sizewise.notifications.delivery import SendMessage
from sizewise.notifications.outbox import webhook_receiver
from sizewise.notifications.webhook_sender import WebhookSender
from sizewise.settings.root import FileSettings


def build_receivers(settings: FileSettings, client: HttpClient) -> Mapping[str, SendMessage]:
    """Raises ConfigError."""
    return {webhook_receiver(name): WebhookSender(each, client) for name, each in settings.webhooks.items()}


def receiver_kinds(settings: FileSettings) -> Mapping[str, str]:
    """By name in the outbox, in the order of the settings."""
    return {webhook_receiver(name): "webhook" for name in settings.webhooks}
