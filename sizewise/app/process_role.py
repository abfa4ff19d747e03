"""The role of a process among those of one server: alone, the owner of the store, or a gateway worker."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProcessRole:
    """`number`: 0 for the process that owns what has one owner per home, 1... for gateway workers. `has_siblings`:
    other processes of this server use the same home and database.
    """

    number: int = 0
    has_siblings: bool = False

    @property
    def owns_store(self) -> bool:
        return self.number == 0


ALONE = ProcessRole()
