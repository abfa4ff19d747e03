"""A job for an offload worker: the factory of its function, the factory's argument and the input; runs nothing."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import NoReturn

from msgspec import Struct

from sizewise import errors
from sizewise.errors import SizewiseError
from sizewise.offload.frames import Bytes

Work = Callable[..., list[Bytes]]
"""Pure function of byte strings. Raises SizewiseError, which the server raises again."""
WorkFactory = Callable[[bytes], Work]
"""A function at module level, so that a worker process can import it by its name."""


OUT_OF_MEMORY = b"memory"
"""In place of a JobError: the job needed more memory than its worker may have."""


class WorkerLimits(Struct, frozen=True):
    """Of one worker; 0: none. `cpu_s`: CPU seconds of all its jobs. `confined`: it can write no file, and
    has no environment.
    """

    memory_bytes: int = 0
    cpu_s: int = 0
    confined: bool = False


def function_name(function: Callable[..., object]) -> bytes:
    """`module:function`, by which another process finds it."""
    return f"{function.__module__}:{function.__qualname__}".encode()


def find_function(name: bytes) -> WorkFactory:
    """Of `function_name`."""
    module, _, function = name.decode().partition(":")
    found: WorkFactory = getattr(import_module(module), function)
    return found


class JobError(Struct, frozen=True):
    """A SizewiseError that can be raised again."""

    kind: str  # its class in errors.py
    status: int
    message: str
    hint: str
    param: str | None

    @classmethod
    def of(cls, error: SizewiseError) -> JobError:
        return cls(type(error).__name__, error.status, error.message, error.hint, error.param)

    def raise_again(self) -> NoReturn:
        kind: type[SizewiseError] = getattr(errors, self.kind, SizewiseError)
        raise kind(self.message, self.hint, param=self.param, status=self.status)
