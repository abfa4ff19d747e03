"""Receivers of the outbox, built from the settings: each has its name in the outbox and the sender of its kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

from sizewise.data_class import Place
from sizewise.errors import ConfigError
from sizewise.http.client import HttpClient
from sizewise.http.egress import EgressPolicy, mail_origin
from sizewise.notifications.alert_sender import AlertSender
from sizewise.notifications.delivery import SendMessage
from sizewise.notifications.mail_sender import DATA_CLASS, MailSender
from sizewise.notifications.outbox import alert_receiver, webhook_receiver
from sizewise.notifications.webhook_sender import WebhookSender
from sizewise.settings.alerts import ReceiverSettings
from sizewise.settings.load import resolve_secret
from sizewise.settings.root import FileSettings
from sizewise.settings.validators import is_reference

PAGERDUTY_URL = "https://events.pagerduty.com"


def build_receivers(settings: FileSettings, client: HttpClient) -> Mapping[str, SendMessage]:
    """By name in the outbox. Raises ConfigError."""
    found: dict[str, SendMessage] = {
        webhook_receiver(name): WebhookSender(each, client) for name, each in settings.webhooks.items()
    }
    for name, each in settings.receivers.items():
        url = receiver_url(name, each)
        if each.kind == "email":
            check = partial(client.check_egress, mail_origin(url), purpose="an alert", data_class=DATA_CLASS)
            found[alert_receiver(name)] = MailSender(each, url, client.tls_config, check)
        else:
            found[alert_receiver(name)] = AlertSender(each, url, client)
    return found


def receiver_url(name: str, receiver: ReceiverSettings) -> str:
    """Raises ConfigError if its variable or file is missing."""
    if not is_reference(receiver.url):
        return receiver.url or PAGERDUTY_URL
    try:
        return resolve_secret(receiver.url)
    except ConfigError as error:
        raise ConfigError(f"receivers.{name}.url: {error.message}", error.hint) from error


def with_receivers(egress: EgressPolicy, settings: FileSettings) -> EgressPolicy:
    """Allows the origins of all receivers, each at its declared place. Raises ConfigError."""
    for url, place in _origins(settings):
        egress = egress.with_origin(url, place)
    return egress


def _origins(settings: FileSettings) -> Iterator[tuple[str, Place]]:
    for name, each in settings.receivers.items():
        yield receiver_url(name, each), each.place


def receiver_kinds(settings: FileSettings) -> Mapping[str, str]:
    """By name in the outbox, in the order of the settings."""
    kinds = {webhook_receiver(name): "webhook" for name in settings.webhooks}
    return kinds | {alert_receiver(name): each.kind for name, each in settings.receivers.items()}
