"""Quality prediction: adds a trained predictor's estimate per model, or its reason to abstain, to a request."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from sizewise.errors import ConfigError
from sizewise.messages import ChatRequest, EmbeddingRequest
from sizewise.model_card import ModelCard
from sizewise.routing.quality.predictor import Predictor, PredictorProvenance
from sizewise.routing.requirements import Requirements
from sizewise.routing.text.prompt_features import user_text


class QualityPrediction:
    """Adds predictions to requirements. The predictor's models are matched by `<provider>/<model>` or bare name."""

    __slots__ = ("heads", "predictor")

    def __init__(self, predictor: Predictor, cards: Sequence[ModelCard]) -> None:
        """Raises ConfigError if fewer than two of the predictor's models are configured: it could not compare any."""
        self.predictor = predictor
        self.heads = {card.name: head for head in predictor.heads for card in cards if head in (card.name, card.model)}
        if len(set(self.heads.values())) < 2:
            learnt = ", ".join(predictor.heads)
            hint = "configure both, or train on configured models: sizewise route train"
            raise ConfigError(f"the predictor knows {learnt}, and fewer than two of them are configured", hint)

    @property
    def provenance(self) -> PredictorProvenance:
        return self.predictor.provenance

    def __call__(self, requirements: Requirements, payload: ChatRequest | EmbeddingRequest) -> Requirements:
        if not isinstance(payload, ChatRequest):
            return requirements
        good, doubt = self.predict(user_text(payload))
        question = msgspec.structs.replace(requirements.features, abstention=doubt, predicted_quality=good)
        return msgspec.structs.replace(requirements, features=question)

    def predict(self, prompt: str) -> tuple[dict[str, float], str]:
        """Chance of a good answer per model, 0..1, to a user's text; or the reason to abstain."""
        found = self.predictor(prompt)
        if found is None:
            return {}, self.predictor.abstention_reason(prompt)
        return {name: found[head] for name, head in self.heads.items()}, ""
