"""The shipped answer prior: what was learned of small models' answers before any user's labels; generated.

python -m bench.routing.cold_start.fit --write
"""

from __future__ import annotations

from sizewise.routing.quality.answer_prior import AnswerPrior, PriorModel, SignalAuroc

SHIPPED_PRIOR = AnswerPrior(
    models=(
        PriorModel(
            name="0.13B",
            parameters=134515008,
            answers=240,
            right=0.15,
            max_tokens=48,
            auroc={
                "mean log-probability": SignalAuroc(auroc=0.5535, low=0.4346, high=0.6736),
                "lowest log-probability": SignalAuroc(auroc=0.7323, low=0.6344, high=0.8224),
                "first log-probability": SignalAuroc(auroc=0.7041, low=0.6076, high=0.801),
                "log-probability of the whole": SignalAuroc(auroc=0.733, low=0.6269, high=0.8358),
                "length": SignalAuroc(auroc=0.7133, low=0.6209, high=0.8018),
                "together, held out": SignalAuroc(auroc=0.6516, low=0.5489, high=0.7558),
            },
            mean=(-1.904249, -14.909694),
            scale=(0.642697, 10.653395),
            weights=(-2.084172, 0.883483, 0.254685),
            threshold=None,
            kept=0.0,
            loss=0.0,
            loss_bound=0.0,
            prior_weight=1.0,
        ),
        PriorModel(
            name="1.54B",
            parameters=1543714304,
            answers=240,
            right=0.7458,
            max_tokens=48,
            auroc={
                "mean log-probability": SignalAuroc(auroc=0.752, low=0.6753, high=0.8178),
                "lowest log-probability": SignalAuroc(auroc=0.8576, low=0.795, high=0.9134),
                "first log-probability": SignalAuroc(auroc=0.7553, low=0.6757, high=0.8313),
                "log-probability of the whole": SignalAuroc(auroc=0.8788, low=0.82, high=0.9301),
                "length": SignalAuroc(auroc=0.6158, low=0.5327, high=0.6878),
                "together, held out": SignalAuroc(auroc=0.854, low=0.7867, high=0.9152),
            },
            mean=(-0.508634, -1.209113),
            scale=(0.485662, 1.544193),
            weights=(1.292733, 0.256413, 2.211639),
            threshold=0.8853,
            kept=0.45,
            loss=0.0463,
            loss_bound=0.0433,
            prior_weight=1.0,
        ),
    ),
    languages=frozenset(["en"]),
    max_loss=0.05,
    dataset_digest="bc90dc13fa49877b727aa744e05f234b5c452440683aca684fb08abf7f1fb5ad",
    date="2026-11-27",
)
