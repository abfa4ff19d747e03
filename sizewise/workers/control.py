"""What the processes of a server tell their supervisor, one datagram each, and the paths that they share."""

from __future__ import annotations

import contextlib
import socket
from dataclasses import dataclass
from pathlib import Path

import msgspec
from msgspec import Struct

from sizewise.atomic_file import write_file_atomically
from sizewise.errors import ConfigError, ExternalFailure, SizewiseError, StorageError

ERRORS: tuple[type[SizewiseError], ...] = (ConfigError, ExternalFailure, StorageError)


class Ready(Struct, frozen=True, tag=True):
    """The process serves. `welcome`: the start message, as text and as JSON; of the store process alone."""

    number: int
    welcome: str = ""
    welcome_json: str = ""


class StartFailed(Struct, frozen=True, tag=True):
    number: int
    error_type: str
    message: str
    hint: str

    def as_error(self) -> SizewiseError:
        kind = next((each for each in ERRORS if each.__name__ == self.error_type), ExternalFailure)
        return kind(self.message, self.hint)


class SettingsAccepted(Struct, frozen=True, tag=True):
    """New processes start with the settings in `RunFolder.settings`."""


Report = Ready | StartFailed | SettingsAccepted
_DECODER = msgspec.json.Decoder(Report)


class ControlSocket:
    """A pair of sockets: the supervisor's end does not block."""

    def __init__(self) -> None:
        self.ours, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.ours.setblocking(False)

    def report(self, message: Report) -> None:
        """Called in a child. A supervisor that is gone hears nothing."""
        with contextlib.suppress(OSError):
            self._theirs.send(msgspec.json.encode(message))

    def report_error(self, number: int, error: SizewiseError) -> None:
        self.report(StartFailed(number, type(error).__name__, error.message[:8_000], error.hint[:2_000]))

    def receive(self) -> list[Report]:
        found: list[Report] = []
        with contextlib.suppress(BlockingIOError):
            while True:
                found.append(_DECODER.decode(self.ours.recv(1 << 16)))
        return found


@dataclass(frozen=True, slots=True)
class RunFolder:
    """A folder that only this user can enter, as long as the server runs."""

    path: Path

    @property
    def protocol(self) -> Path:
        """The socket of the typed protocol."""
        return self.path / "store.sock"

    @property
    def http(self) -> Path:
        """The socket on which the store process serves HTTP."""
        return self.path / "http.sock"

    @property
    def settings(self) -> Path:
        """The content of the settings file that a reload has accepted last."""
        return self.path / "settings.toml"

    def accept_settings(self, content: bytes | None) -> None:
        if content is not None:
            write_file_atomically(self.settings, content)


def listen_at(path: Path) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.listen(1_024)
    listening.setblocking(False)
    return listening
