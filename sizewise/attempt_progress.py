"""Events of an attempt under way: stages measured for the router, and updates for a client that wants them."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


class AttemptStage(Struct, frozen=True):
    """A stage of an attempt, from the model to the router, which measures the pace; the client never sees it.

    queued: a slot is taken after waiting `seconds`, the `load`-th in use. loaded: the model was loaded in `seconds`.
    first_token: the first token of a reply that is not streamed, `seconds` after the request arrived. energy: the
    answer took `energy` microjoules of this machine, found as `energy_source` of energy.py says.
    """

    stage: Literal["queued", "loaded", "first_token", "energy"]
    seconds: float = 0.0
    load: int = 0
    energy: int = 0
    energy_source: int = 0


ProgressStage = Literal["attempt", "verification", "loading", "queued", "step"]


class ProgressUpdate(Struct, frozen=True):
    """What begins now. Sent only if the request's options ask for progress; holds no text of the request.

    attempt: `model` is asked, because of `reason`; its reply is judged before it is shown if `held`. verification:
    `model` is asked to judge a reply. loading: `model` is read into memory. queued: the attempt waits for a slot.
    step: a flow node runs. `step` is the path of the node around all of these; empty outside of flows.
    """

    stage: ProgressStage
    model: str = ""
    reason: str = ""
    held: bool = False
    step: str = ""
