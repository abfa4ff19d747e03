"""Agent policy: the best model plans, repairs and takes over a stalled tool loop; a cheap one takes easy turns."""

from __future__ import annotations

from dataclasses import dataclass

from sizewise.routing.agent_turn import TurnStage
from sizewise.routing.fallback import with_fallbacks
from sizewise.routing.option_checks import require_range
from sizewise.routing.policy import Candidates, PolicyRun, RequestFeatures
from sizewise.routing.strength import strength


@dataclass(frozen=True, slots=True)
class AgentPolicy:
    """Chooses by the stage of an agent's turn, as agent_turn.py reads it. A chat without tools is a `plan`.

    `easy`: stages that the cheapest model takes that fits; all others, and every turn after the loop has stalled, the
    strongest. Within a tool loop the model stays (sticky_sessions.py) unless leaving it saves more than it costs, the
    last tools failed, or the loop has stalled. Uncalibrated: nothing is promised. A model that fails is followed by
    the strongest of the rest. `retries` and `max_retry_delay_s` as in FixedPolicy.
    """

    models: tuple[str, ...] = ()
    easy: tuple[TurnStage, ...] = ("tool result",)
    retries: int = 1
    max_retry_delay_s: float = 2.0

    def __post_init__(self) -> None:
        require_range("retries", self.retries, 0, 5)
        require_range("max_retry_delay_s", self.max_retry_delay_s, 0, 60)

    def route(self, features: RequestFeatures, candidates: Candidates) -> PolicyRun:
        turn = features.turn
        stage: TurnStage = "plan" if turn is None else turn.stage
        stalled = "" if turn is None else turn.stalled
        is_easy = stage in self.easy and not stalled
        best = max((each.card for each in candidates), key=strength)
        first = candidates[0].card if is_easy else best
        rest = sorted((each.card for each in candidates if each.card is not first), key=strength, reverse=True)
        at = "no agent's turn" if turn is None else f"agent turn {turn.number} ({stage})"
        chosen = "an easy one, so the cheapest model that fits" if is_easy else "the best model"
        why = f"{at}: {f'{stalled}, so ' if stalled else ''}{chosen}"
        return with_fallbacks(features, (first, *rest), why, self.retries, self.max_retry_delay_s)
