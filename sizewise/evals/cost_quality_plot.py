"""Cost-quality plot as SVG: the curve of each policy, reference points and measured points.

Both axes are relative to the large model: (0.3, 0.97) costs 30 % of always calling it, at 97 % of its quality.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from msgspec import Struct

WIDTH, HEIGHT = 760, 500
LEFT, RIGHT, TOP, BOTTOM = 70, 190, 54, 62
COLORS: Mapping[str, str] = {"oracle": "#8a94a6", "random": "#b9c0cc", "prompt": "#d08a1d", "cascade": "#1f6feb"}
DASHED_CURVES = frozenset({"oracle", "random"})
DEFAULT_COLOR = "#6e5494"
TEXT_COLOR, MUTED_COLOR, GRID_COLOR = "#1c2330", "#5b6577", "#e4e8ee"

Curve = Sequence[tuple[float, float]]
"""(cost, quality) by rising cost."""


class PlotPoint(Struct, frozen=True):
    """A point with its 95 % intervals in quality and cost; None without one. `is_unmeasured`: drawn hollow, since its
    quality was not measured.
    """

    name: str
    cost: float
    quality: float
    low: float | None = None
    high: float | None = None
    cost_margin: float | None = None  # half the width in cost
    is_unmeasured: bool = False


def draw_plot(
    title: str,
    curves: Mapping[str, Curve],
    points: Sequence[PlotPoint],
    guaranteed_quality: float | None = None,
) -> str:
    """An SVG document, with a line at `guaranteed_quality`."""
    plane = _Plot(curves, points, guaranteed_quality)
    body = [
        f'<text x="{LEFT}" y="28" class="title">{escape(title)}</text>',
        *plane.axes(),
        *([] if guaranteed_quality is None else plane.guarantee_line(guaranteed_quality)),
        *(part for name, curve in curves.items() for part in plane.curve(name, curve)),
        *(part for dot in points for part in plane.point(dot)),
        *plane.legend(curves),
    ]
    style = (
        "text{font:13px system-ui,sans-serif;fill:" + TEXT_COLOR + "}"
        ".title{font-size:16px;font-weight:600}.label{paint-order:stroke;stroke:#fff;stroke-width:4px}.pale{fill:"
        + MUTED_COLOR
        + ";font-size:12px}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'role="img" aria-label="{escape(title)}"><style>{style}</style>'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>{"".join(body)}</svg>\n'
    )


class _Plot:
    """Maps cost and quality to SVG coordinates, and draws each part."""

    def __init__(
        self,
        curves: Mapping[str, Curve],
        points: Sequence[PlotPoint],
        guaranteed_quality: float | None,
    ) -> None:
        costs = [cost for curve in curves.values() for cost, _ in curve] + [dot.cost for dot in points] + [1.0]
        qualities = (
            [quality for curve in curves.values() for _, quality in curve] + [dot.quality for dot in points] + [1.0]
        )
        qualities += [dot.low for dot in points if dot.low is not None] + (
            [guaranteed_quality] if guaranteed_quality is not None else []
        )
        qualities += [dot.high for dot in points if dot.high is not None]
        self._wide = max(1.0, *costs) * 1.04
        span = max(0.02, max(qualities) - min(qualities))
        self._low, self._high = max(0.0, min(qualities) - 0.06 * span), max(qualities) + 0.06 * span

    def x(self, cost: float) -> float:
        return round(LEFT + max(0.0, cost) / self._wide * (WIDTH - LEFT - RIGHT), 1)

    def y(self, quality: float) -> float:
        share = (quality - self._low) / (self._high - self._low)
        return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)

    def axes(self) -> list[str]:
        bottom, end = HEIGHT - BOTTOM, WIDTH - RIGHT
        parts = []
        for tick in _ticks(0.0, self._wide):
            parts.append(f'<path d="M{self.x(tick)} {TOP}V{bottom}" stroke="{GRID_COLOR}"/>')
            parts.append(
                f'<text x="{self.x(tick)}" y="{bottom + 20}" text-anchor="middle" class="pale">{tick:g}</text>',
            )
        for tick in _ticks(self._low, self._high):
            parts.append(f'<path d="M{LEFT} {self.y(tick)}H{end}" stroke="{GRID_COLOR}"/>')
            parts.append(f'<text x="{LEFT - 8}" y="{self.y(tick) + 4}" text-anchor="end" class="pale">{tick:g}</text>')
        parts.append(f'<path d="M{LEFT} {TOP}V{bottom}H{end}" fill="none" stroke="{MUTED_COLOR}"/>')
        middle = (LEFT + end) / 2
        parts.append(
            f'<text x="{middle}" y="{HEIGHT - 18}" text-anchor="middle">cost relative to the large model alone</text>',
        )
        turned = f'text-anchor="middle" transform="rotate(-90 20 {(TOP + bottom) / 2})"'
        parts.append(f'<text x="20" y="{(TOP + bottom) / 2}" {turned}>quality relative to the large model</text>')
        return parts

    def guarantee_line(self, quality: float) -> list[str]:
        y = self.y(quality)
        return [
            f'<path d="M{LEFT} {y}H{WIDTH - RIGHT}" stroke="#2da44e" stroke-dasharray="2 4"/>',
            f'<text x="{WIDTH - RIGHT + 8}" y="{y + 4}" class="pale" fill="#2da44e">target {quality:g}</text>',
        ]

    def curve(self, name: str, curve: Curve) -> list[str]:
        if not curve:
            return []
        path = "L".join(f"{self.x(cost)} {self.y(quality)}" for cost, quality in curve)
        dash = ' stroke-dasharray="6 4"' if name in DASHED_CURVES else ""
        width = 1.5 if name in DASHED_CURVES else 2.5
        return [
            f'<path d="M{path}" fill="none" stroke="{COLORS.get(name, DEFAULT_COLOR)}" stroke-width="{width}"{dash}/>',
        ]

    def point(self, dot: PlotPoint) -> list[str]:
        x, y, parts = self.x(dot.cost), self.y(dot.quality), list[str]()
        if dot.low is not None and dot.high is not None:
            parts.append(
                f'<path d="M{x} {self.y(dot.low)}V{self.y(dot.high)}" stroke="{TEXT_COLOR}" stroke-width="2"/>',
            )
        if dot.cost_margin is not None:
            ends = self.x(dot.cost - dot.cost_margin), self.x(dot.cost + dot.cost_margin)
            parts.append(f'<path d="M{ends[0]} {y}H{ends[1]}" stroke="{TEXT_COLOR}" stroke-width="2"/>')
        fill = "#ffffff" if dot.is_unmeasured else TEXT_COLOR
        parts.append(f'<circle cx="{x}" cy="{y}" r="5" fill="{fill}" stroke="{TEXT_COLOR}" stroke-width="2"/>')
        words = f"{dot.name} (quality not measured)" if dot.is_unmeasured else dot.name
        if x > WIDTH - RIGHT - 60:  # in the right margin
            where = f'x="{x + 10}" y="{y + 4}"'
        elif x > WIDTH / 2:  # clear of the label of the guarantee line
            where = f'x="{x - 12}" y="{y - 8}" text-anchor="end"'
        else:
            where = f'x="{x + 10}" y="{y + 20}"'
        parts.append(f'<text {where} class="label">{escape(words)}</text>')
        return parts

    def legend(self, curves: Mapping[str, Curve]) -> list[str]:
        parts = []
        for place, name in enumerate(name for name, curve in curves.items() if curve):
            y, x = HEIGHT - BOTTOM - 10 - 22 * place, WIDTH - RIGHT + 20
            dash = ' stroke-dasharray="6 4"' if name in DASHED_CURVES else ""
            parts.append(
                f'<path d="M{x} {y - 4}h26" stroke="{COLORS.get(name, DEFAULT_COLOR)}" stroke-width="2.5"{dash}/>',
            )
            parts.append(f'<text x="{x + 34}" y="{y}">{escape(name)}</text>')
        return parts


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers between `low` and `high`, about five to ten."""
    span = high - low
    step = next(
        each for each in (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 1e9) if span / each <= 10
    )
    first = -(-low // step)
    return [round(step * number, 6) for number in range(int(first), int(high // step) + 1)]
