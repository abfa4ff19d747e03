"""A real SMTP server on loopback (aiosmtpd), for tests: keeps the mails that came; knows nothing of our sender."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest


class Mailbox:
    """What came, oldest first."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.recipients: list[list[str]] = []
        self.url = ""

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        found = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(found, EmailMessage)
        self.mails.append(found)
        self.recipients.append(list(envelope.rcpt_tos))
        return "250 OK"


@contextlib.contextmanager
def receiving_mail() -> Iterator[Mailbox]:
    controller: Any = pytest.importorskip("aiosmtpd.controller", reason="needs a mail server: pip install aiosmtpd")
    box = Mailbox()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    running = controller.Controller(box, hostname="127.0.0.1", port=port)
    running.start()
    try:
        box.url = f"smtp://127.0.0.1:{port}"
        yield box
    finally:
        running.stop()
