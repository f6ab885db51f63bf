"""The ladder as a picture: a horizontal bar for every scenario, written as SVG by hand."""

from collections.abc import Sequence
from xml.sax.saxutils import escape

from atomic_margin.margin.analysis import Ladder
from atomic_margin.margin.kinds import KINDS, MarginKind

_BAR, _GAP, _TOP = 7, 6, 46
_LABEL, _WIDTH, _AMOUNT = 400, 520, 120
_COLOURS: dict[MarginKind, tuple[str, str]] = {
    "maintenance": ("#3b6ea5", "#c0392b"),
    "initial": ("#a9c4de", "#e6a79f"),
}


def ladder_picture(title: str, ladder: Ladder) -> str:
    """Return an SVG document: what is left now and in every scenario, deficits in red.

    The upper bar of a scenario is maintenance margin, the paler one below initial margin; the amount is the lesser.
    """
    rows = [("now", ladder.now, ladder.now)]
    rows += [(rung.label, rung.maintenance, rung.initial) for rung in ladder.rungs]
    step = 2 * _BAR + _GAP
    height = _TOP + step * len(rows) + 10
    least = min(0.0, *(min(row[1:]) for row in rows))
    most = max(0.0, *(max(row[1:]) for row in rows))
    scale = _WIDTH / ((most - least) or 1.0)
    zero = _LABEL - least * scale
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_LABEL + _WIDTH + _AMOUNT}" height="{height}" '
        'font-family="sans-serif" font-size="11">',
        f"<title>{escape(title)}</title>",
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="10" y="18" font-size="13">{escape(title)}, {escape(ladder.model)}: what is left, USD</text>',
        f'<text x="10" y="34" fill="#555">upper bar {KINDS[0]}, lower bar {KINDS[1]} margin; red is a deficit</text>',
        f'<line x1="{zero:.1f}" x2="{zero:.1f}" y1="{_TOP - 4}" y2="{height - 8}" stroke="#333"/>',
    ]
    for number, (label, *amounts) in enumerate(rows):
        lines += _bars(label, amounts, _TOP + number * step, zero, scale)
    return "\n".join([*lines, "</svg>", ""])


def _bars(label: str, amounts: Sequence[float], top: int, zero: float, scale: float) -> list[str]:
    found = [f'<text x="{_LABEL - 8}" y="{top + _BAR + 4}" text-anchor="end">{escape(label)}</text>']
    for number, (kind, amount) in enumerate(zip(KINDS, amounts, strict=True)):
        start, size = zero + min(0.0, amount) * scale, abs(amount) * scale
        colour = _COLOURS[kind][amount < 0]
        found.append(
            f'<rect x="{start:.1f}" y="{top + number * _BAR}" width="{size:.1f}" height="{_BAR}" fill="{colour}"/>'
        )
    right = _LABEL + _WIDTH + _AMOUNT - 8
    return [*found, f'<text x="{right}" y="{top + _BAR + 4}" text-anchor="end">{min(amounts):,.0f}</text>']
