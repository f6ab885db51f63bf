"""Charts of pages as SVG, drawn here: no script, no style of their own; classes name what the page's style colours.

>>> line_chart("seconds", ["1", "2"], [1.0, 2.0]).startswith('<svg class="chart"')
True
"""

import math
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape, quoteattr

_WIDTH, _HEIGHT = 360, 150
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 6, 8, 20


def stacked_chart(title: str, labels: Sequence[str], layers: Mapping[str, Sequence[float]]) -> str:
    """Return bars, one for each label, each made of layers from below.

    Args:
        title: for who hears the page.
        labels: of the bars.
        layers: by the name of their class, a value for each label.
    """
    highest = max((sum(column) for column in zip(*layers.values(), strict=True)), default=0.0)
    top, step = _scale(highest), _step(len(labels))
    drawn = []
    for number in range(len(labels)):
        below = 0.0
        for name, values in layers.items():
            if values[number]:
                upper, lower = _y(below + values[number], top), _y(below, top)
                drawn.append(
                    f'<rect class={quoteattr("layer " + name)} x="{_LEFT + number * step + step * 0.1:.2f}" '
                    f'y="{upper:.2f}" width="{step * 0.8:.2f}" height="{lower - upper:.2f}"/>'
                )
                below += values[number]
    return _framed(title, labels, top, drawn)


def line_chart(title: str, labels: Sequence[str], values: Sequence[float | None]) -> str:
    """Return a line over labels, broken where there is no value."""
    top, step = _scale(max((value for value in values if value is not None), default=0.0)), _step(len(labels))
    drawn, part = [], []
    for number, value in enumerate([*values, None]):
        if value is not None:
            part.append((_LEFT + (number + 0.5) * step, _y(value, top)))
            continue
        if len(part) > 1:
            drawn.append(f'<polyline class="line" points="{" ".join(f"{x:.2f},{y:.2f}" for x, y in part)}"/>')
        drawn += [f'<circle class="dot" cx="{x:.2f}" cy="{y:.2f}" r="2"/>' for x, y in part]
        part = []
    return _framed(title, labels, top, drawn)


def bar(value: float, least: float, most: float) -> str:
    """Return one bar from zero to a value, on a scale that lines of a table share."""
    least, most = min(least, 0.0), max(most, 0.0)
    scale = 200 / ((most - least) or 1.0)
    zero = -least * scale
    start, size = zero + min(value, 0.0) * scale, abs(value) * scale
    sign = "deficit" if value < 0 else "excess"
    return (
        '<svg class="bar" viewBox="0 0 200 10" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="{sign}" x="{start:.2f}" y="1" width="{size:.2f}" height="8"/>'
        f'<line class="axis" x1="{zero:.2f}" x2="{zero:.2f}" y1="0" y2="10"/></svg>'
    )


def short(value: float) -> str:
    """Return a number as an axis shows it: 1.5k, 20M."""
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= unit:
            return f"{value / unit:g}{name}"
    return f"{value:g}"


def _framed(title: str, labels: Sequence[str], top: float, drawn: Sequence[str]) -> str:
    lines = [
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label={quoteattr(title)}>',
        f"<title>{escape(title)}</title>",
    ]
    for part in (0.0, 0.5, 1.0):
        y = _y(top * part, top)
        lines.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.2f}" y2="{y:.2f}"/>')
        lines.append(
            f'<text class="scale" x="{_LEFT - 5}" y="{y + 4:.2f}" text-anchor="end">{short(top * part)}</text>'
        )
    lines += drawn
    if labels:
        lines.append(f'<text class="scale" x="{_LEFT}" y="{_HEIGHT - 5}">{escape(labels[0])}</text>')
    if len(labels) > 1:
        right = _WIDTH - _RIGHT
        lines.append(f'<text class="scale" x="{right}" y="{_HEIGHT - 5}" text-anchor="end">{escape(labels[-1])}</text>')
    return "".join([*lines, "</svg>"])


def _step(count: int) -> float:
    return (_WIDTH - _LEFT - _RIGHT) / max(count, 1)


def _y(value: float, top: float) -> float:
    return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * value / top


def _scale(highest: float) -> float:
    """Return the round number, 1, 2 or 5 times a power of ten, that a scale goes up to."""
    if highest <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(highest))
    return next((factor * power for factor in (1, 2, 5) if factor * power >= highest), 10 * power)
