"""The cost-quality plane as a picture: every policy's curve, the points that anchor it, what was measured; pure SVG.

Both axes are shares of the large model's: a point at (0.3, 0.97) costs three tenths of asking it always, and is 0.97 as
good.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from msgspec import Struct

WIDTH, HEIGHT = 760, 500
LEFT, RIGHT, TOP, BOTTOM = 70, 190, 54, 62
COLOURS: Mapping[str, str] = {"oracle": "#8a94a6", "random": "#b9c0cc", "prompt": "#d08a1d", "cascade": "#1f6feb"}
DASHED = frozenset({"oracle", "random"})
OTHER = "#6e5494"
INK, PALE, LINE = "#1c2330", "#5b6577", "#e4e8ee"

Curve = Sequence[tuple[float, float]]
"""(cost, quality) by rising cost."""


class Dot(Struct, frozen=True):
    """A point with its 95 % interval in quality and in cost; None where it has none. `open`: its quality was not
    measured."""

    name: str
    cost: float
    quality: float
    low: float | None = None
    high: float | None = None
    within: float | None = None  # half the width in cost
    open: bool = False


def drawn(title: str, curves: Mapping[str, Curve], dots: Sequence[Dot], promised: float | None = None) -> str:
    """An SVG document. `promised`: a quality that a line is drawn at."""
    plane = _Plane(curves, dots, promised)
    body = [
        f'<text x="{LEFT}" y="28" class="title">{escape(title)}</text>',
        *plane.axes(),
        *([] if promised is None else plane.promise(promised)),
        *(part for name, curve in curves.items() for part in plane.curve(name, curve)),
        *(part for dot in dots for part in plane.dot(dot)),
        *plane.legend(curves),
    ]
    style = (
        "text{font:13px system-ui,sans-serif;fill:" + INK + "}"
        ".title{font-size:16px;font-weight:600}.label{paint-order:stroke;stroke:#fff;stroke-width:4px}.pale{fill:"
        + PALE
        + ";font-size:12px}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'role="img" aria-label="{escape(title)}"><style>{style}</style>'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>{"".join(body)}</svg>\n'
    )


class _Plane:
    """Where a cost and a quality lie on the paper."""

    def __init__(self, curves: Mapping[str, Curve], dots: Sequence[Dot], promised: float | None) -> None:
        costs = [cost for curve in curves.values() for cost, _ in curve] + [dot.cost for dot in dots] + [1.0]
        qualities = (
            [quality for curve in curves.values() for _, quality in curve] + [dot.quality for dot in dots] + [1.0]
        )
        qualities += [dot.low for dot in dots if dot.low is not None] + ([promised] if promised is not None else [])
        qualities += [dot.high for dot in dots if dot.high is not None]
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
            parts.append(f'<path d="M{self.x(tick)} {TOP}V{bottom}" stroke="{LINE}"/>')
            parts.append(
                f'<text x="{self.x(tick)}" y="{bottom + 20}" text-anchor="middle" class="pale">{tick:g}</text>'
            )
        for tick in _ticks(self._low, self._high):
            parts.append(f'<path d="M{LEFT} {self.y(tick)}H{end}" stroke="{LINE}"/>')
            parts.append(f'<text x="{LEFT - 8}" y="{self.y(tick) + 4}" text-anchor="end" class="pale">{tick:g}</text>')
        parts.append(f'<path d="M{LEFT} {TOP}V{bottom}H{end}" fill="none" stroke="{PALE}"/>')
        middle = (LEFT + end) / 2
        parts.append(
            f'<text x="{middle}" y="{HEIGHT - 18}" text-anchor="middle">cost, where the large model alone is 1</text>'
        )
        turned = f'text-anchor="middle" transform="rotate(-90 20 {(TOP + bottom) / 2})"'
        parts.append(f'<text x="20" y="{(TOP + bottom) / 2}" {turned}>quality, of the large model\'s</text>')
        return parts

    def promise(self, quality: float) -> list[str]:
        y = self.y(quality)
        return [
            f'<path d="M{LEFT} {y}H{WIDTH - RIGHT}" stroke="#2da44e" stroke-dasharray="2 4"/>',
            f'<text x="{WIDTH - RIGHT + 8}" y="{y + 4}" class="pale" fill="#2da44e">promised {quality:g}</text>',
        ]

    def curve(self, name: str, curve: Curve) -> list[str]:
        if not curve:
            return []
        path = "L".join(f"{self.x(cost)} {self.y(quality)}" for cost, quality in curve)
        dash = ' stroke-dasharray="6 4"' if name in DASHED else ""
        width = 1.5 if name in DASHED else 2.5
        return [f'<path d="M{path}" fill="none" stroke="{COLOURS.get(name, OTHER)}" stroke-width="{width}"{dash}/>']

    def dot(self, dot: Dot) -> list[str]:
        x, y, parts = self.x(dot.cost), self.y(dot.quality), list[str]()
        if dot.low is not None and dot.high is not None:
            parts.append(f'<path d="M{x} {self.y(dot.low)}V{self.y(dot.high)}" stroke="{INK}" stroke-width="2"/>')
        if dot.within is not None:
            ends = self.x(dot.cost - dot.within), self.x(dot.cost + dot.within)
            parts.append(f'<path d="M{ends[0]} {y}H{ends[1]}" stroke="{INK}" stroke-width="2"/>')
        fill = "#ffffff" if dot.open else INK
        parts.append(f'<circle cx="{x}" cy="{y}" r="5" fill="{fill}" stroke="{INK}" stroke-width="2"/>')
        words = f"{dot.name} (quality not measured)" if dot.open else dot.name
        if x > WIDTH - RIGHT - 60:  # room beside the plane
            where = f'x="{x + 10}" y="{y + 4}"'
        elif x > WIDTH / 2:  # not over the promise's own words
            where = f'x="{x - 12}" y="{y - 8}" text-anchor="end"'
        else:
            where = f'x="{x + 10}" y="{y + 20}"'
        parts.append(f'<text {where} class="label">{escape(words)}</text>')
        return parts

    def legend(self, curves: Mapping[str, Curve]) -> list[str]:
        parts = []
        for place, name in enumerate(name for name, curve in curves.items() if curve):
            y, x = HEIGHT - BOTTOM - 10 - 22 * place, WIDTH - RIGHT + 20
            dash = ' stroke-dasharray="6 4"' if name in DASHED else ""
            parts.append(f'<path d="M{x} {y - 4}h26" stroke="{COLOURS.get(name, OTHER)}" stroke-width="2.5"{dash}/>')
            parts.append(f'<text x="{x + 34}" y="{y}">{escape(name)}</text>')
        return parts


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers in between, five to ten of them."""
    span = high - low
    step = next(
        each for each in (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 1e9) if span / each <= 10
    )
    first = -(-low // step)
    return [round(step * number, 6) for number in range(int(first), int(high // step) + 1)]
