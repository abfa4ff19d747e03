"""Decision explainer: the routing decision that a request would get, with exact counts near windows; calls no model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import strftime

from sizewise.app.prompt_counter import PromptCounter
from sizewise.handler import Request
from sizewise.routing.constraints import HealthCheck
from sizewise.routing.data_policy import DataPolicy
from sizewise.routing.deadlines import Forecaster
from sizewise.routing.explain import RoutingDecision, explain
from sizewise.routing.learned_judge import CertificateModels
from sizewise.routing.model_aliases import ModelAliases
from sizewise.routing.quality_prediction import QualityPrediction
from sizewise.routing.session_affinity import SessionAffinity
from sizewise.routing.strongest_fallback import DistrustCheck


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionExplainer:
    """The parts of one application's router. `check`: the request as the guardrails let it through."""

    check: Callable[[Request], Request]
    aliases: ModelAliases
    health_check: HealthCheck
    data_policy: DataPolicy
    affinity: SessionAffinity
    prediction: QualityPrediction | None
    certificate_models: Mapping[str, CertificateModels]
    distrust_check: DistrustCheck | None
    forecaster: Forecaster
    counter: PromptCounter

    async def __call__(self, request: Request) -> RoutingDecision:
        """Raises ModelNotFound, GuardrailBlocked."""
        request = self.check(request)
        return self.unchecked(request, await self.counter.near_window(request))

    def unchecked(self, request: Request, counts: Mapping[str, int]) -> RoutingDecision:
        """As a call, of a request that the guardrails will check when it is sent. `counts`: exact prompt tokens."""
        return explain(
            request,
            self.aliases,
            self.health_check,
            self.data_policy,
            self.affinity,
            self.prediction,
            self.certificate_models,
            self.distrust_check,
            self.forecaster,
            counts=counts,
            today=strftime("%Y-%m-%d"),
        )
