"""Whether one endpoint sells one model, and until when; a plain value, reads no files."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OfferStatus:
    """`listed`: a list of the provider's models names it. `ends`: YYYY-MM-DD of its shutdown, planned or past.

    `source` with its date, of the shutdown if there is one, else of the list.
    """

    listed: bool = False
    ends: str = ""
    source: str = "no list of the provider's models names it"
    date: str = ""  # of the source

    def objection(self, today: str, until: str) -> str:
        """Why the model cannot be used there from `today` to `until` (YYYY-MM-DD); empty if it can."""
        if self.ends and self.ends <= today:
            return "is no longer sold there"
        if self.ends and self.ends < until:
            return "will be shut down there within the time horizon"
        return "" if self.listed else "is not known to be sold there: a price alone is no proof"


UNKNOWN_STATUS = OfferStatus()
