"""External KMS adapter: wraps data keys by running the administrator's program.

Runs `PROGRAM [ARGUMENTS] wrap` or `... unwrap`, which reads one line of base64 and prints one. No shell is used. Output
and time are limited. Its stderr is never shown, since it could contain the key.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import shlex
from pathlib import Path

from sizewise.errors import ConfigError, EncryptionKeyUnavailable, ExternalFailure
from sizewise.process import run_with_input

TIMEOUT_S = 5.0
MAX_ANSWER_BYTES = 16_384
RUN_BY_HAND = "run the command by hand with `wrap` and read its output"


class ExternalKms:
    """One program. Not for the event loop's thread: each call waits for a new process."""

    def __init__(self, command_line: str) -> None:
        """`command_line`: an absolute path and optional arguments, with shell quoting. Raises ConfigError."""
        try:
            self._argv = shlex.split(command_line)
        except ValueError as error:
            raise ConfigError(f"encryption.kms: the command cannot be read: {error}", "check the quotes") from error
        if not self._argv or not Path(self._argv[0]).is_absolute():
            hint = 'for example kms = "command:/usr/local/bin/our-kms --key alias/sizewise"'
            raise ConfigError("encryption.kms: the command does not begin with the absolute path of a program", hint)

    def wrap(self, plain: bytes) -> bytes:
        """Raises EncryptionKeyUnavailable."""
        return self._run("wrap", plain)

    def unwrap(self, wrapped: bytes) -> bytes:
        """Raises EncryptionKeyUnavailable."""
        return self._run("unwrap", wrapped)

    def _run(self, verb: str, data: bytes) -> bytes:
        name, line = Path(self._argv[0]).name, base64.b64encode(data) + b"\n"
        try:
            done = asyncio.run(run_with_input([*self._argv, verb], line, TIMEOUT_S, MAX_ANSWER_BYTES))
        except ExternalFailure as error:
            raise EncryptionKeyUnavailable(f"the key service failed to {verb}: {error.message}", RUN_BY_HAND) from error
        if done.exit_code:
            raise EncryptionKeyUnavailable(
                f"the key service failed to {verb}: {name!r} exited with {done.exit_code}",
                RUN_BY_HAND,
            )
        try:
            answer = base64.b64decode(done.stdout.strip(), validate=True)
        except (binascii.Error, ValueError):
            answer = b""
        if not answer or answer == data:
            raise EncryptionKeyUnavailable(
                f"the key service failed to {verb}: {name!r} returned no {verb}ped key in base64",
                RUN_BY_HAND,
            )
        return answer
