"""Sender of e-mail by SMTP, in a thread; under the egress policy, with TLS unless the settings allow plain text."""

from __future__ import annotations

import asyncio
import smtplib
from collections.abc import Callable, Mapping
from email.message import EmailMessage
from email.utils import formatdate

from sizewise.data_class import DataClass
from sizewise.errors import ConfigError, ExternalFailure
from sizewise.http.dialer import TlsConfig
from sizewise.notifications.alert_message import decode_message, lines, title
from sizewise.notifications.tables import OutboxMessage
from sizewise.settings.alerts import MAIL_URL, ReceiverSettings
from sizewise.settings.load import resolve_secret

DATA_CLASS: DataClass = "internal"
TIMEOUT_S = 15.0
"""Of connecting, and of each answer."""
PORTS: Mapping[str, int] = {"smtp": 587, "smtps": 465}


class MailSender:
    """Of one `[receivers.NAME]` of kind `email`."""

    def __init__(self, settings: ReceiverSettings, url: str, tls: TlsConfig, check: Callable[[], None]) -> None:
        """`url`: resolved. `check`: of the egress policy; raises EgressDenied. Raises ConfigError."""
        found = MAIL_URL.fullmatch(url)
        if found is None:
            raise ConfigError("the URL of a receiver of e-mail is not valid", "write it as 'smtp://host:587'")
        scheme, host, port = found.groups()
        self._settings = settings
        self._scheme, self._host = scheme, host.strip("[]")
        self._port = int(port or PORTS[scheme])
        self._tls = tls
        self._check = check

    async def __call__(self, message: OutboxMessage) -> None:
        """Raises SizewiseError."""
        self._check()
        mail = self._mail(message)
        await asyncio.to_thread(self._send, mail)

    def _mail(self, message: OutboxMessage) -> EmailMessage:
        """Its Message-ID is that of the message, so that a repeat can be recognized."""
        alert, mail = decode_message(message.body), EmailMessage()
        mail["Subject"] = title(alert)
        mail["From"] = self._settings.from_
        mail["To"] = ", ".join(self._settings.to)
        mail["Date"] = formatdate(alert.at / 1_000)
        mail["Message-ID"] = f"<{message.id}@{self._settings.from_.rpartition('@')[2]}>"
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content("\n".join([title(alert), "", *lines(alert), ""]))
        return mail

    def _send(self, mail: EmailMessage) -> None:
        where = f"{self._host}:{self._port}"
        try:
            with self._connect() as connection:
                if self._scheme == "smtp" and self._settings.starttls:
                    connection.starttls(context=self._tls.context)
                if self._settings.user:
                    connection.login(self._settings.user, resolve_secret(self._settings.secret))
                connection.send_message(mail)
        except smtplib.SMTPNotSupportedError as error:
            hint = "set `starttls = false` in [receivers.NAME] if the server is on this machine"
            raise ExternalFailure(f"the mail server {where} does not support TLS or a login", hint) from error
        except smtplib.SMTPResponseException as error:  # its text may repeat an address or more
            hint = "look at the mail server's log"
            raise ExternalFailure(f"the mail server {where} answered {error.smtp_code}", hint) from error
        except (smtplib.SMTPException, OSError) as error:  # includes ssl.SSLError
            said = getattr(error, "strerror", None) or type(error).__name__
            raise ExternalFailure(
                f"the mail server {where} failed: {said}", "check its address and that it runs"
            ) from error

    def _connect(self) -> smtplib.SMTP:
        if self._scheme == "smtps":
            return smtplib.SMTP_SSL(self._host, self._port, timeout=TIMEOUT_S, context=self._tls.context)
        return smtplib.SMTP(self._host, self._port, timeout=TIMEOUT_S)
