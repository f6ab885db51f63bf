"""A cascade as a picture: prices, accounts in default and what is uncovered, tick by tick, as SVG by hand."""

from collections.abc import Callable, Sequence
from xml.sax.saxutils import escape

from atomic_margin.service.simulation.assumptions import Assumptions
from atomic_margin.service.simulation.cascade import Outcome, TickFigures

_WIDTH, _HEIGHT, _LEFT, _TOP, _GAP = 760, 150, 110, 64, 46
_COLOURS = ("#3b6ea5", "#c0392b", "#2e8b57", "#8e5ea2")


def cascade_picture(assumptions: Assumptions, underlyings: Sequence[str], outcomes: Sequence[Outcome]) -> str:
    """Return an SVG document with a panel for each of: the first underlying's price, liquidations, calls, uncovered."""
    panels: list[tuple[str, Callable[[TickFigures], float], bool]] = [
        (f"price of {underlyings[0]}, beginning = 1", lambda one: one.prices[0], False),
        ("accounts liquidated so far", lambda one: one.liquidations, True),
        ("margin called so far, USD m", lambda one: one.called_usd / 1e6, True),
        ("uncovered by open books, USD m", lambda one: one.uncovered_usd / 1e6, False),
        ("lost by the operator, USD m", lambda one: one.loss_usd / 1e6, False),
    ]
    height = _TOP + len(panels) * (_HEIGHT + _GAP) + 10
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_LEFT + _WIDTH + 40}" height="{height}" '
        'font-family="sans-serif" font-size="11">',
        "<title>A flash crash, by the way in which margin is called</title>",
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="10" y="18" font-size="13">{assumptions.accounts} accounts, a fall of {assumptions.crash:.0%} within '
        f"{assumptions.crash_ticks} minutes, seed {assumptions.seed}</text>",
    ]
    for number, outcome in enumerate(outcomes):
        x = 10 + 190 * number
        colour = _COLOURS[number % len(_COLOURS)]
        lines.append(f'<line x1="{x}" x2="{x + 18}" y1="36" y2="36" stroke="{colour}" stroke-width="3"/>')
        lines.append(f'<text x="{x + 24}" y="40">{escape(outcome.regime.name)}</text>')
    for number, (title, figure, sums) in enumerate(panels):
        series = [_series(outcome, figure, sums) for outcome in outcomes]
        lines += _panel(title, series, _TOP + number * (_HEIGHT + _GAP))
    return "\n".join([*lines, "</svg>", ""])


def _series(outcome: Outcome, figure: Callable[[TickFigures], float], sums: bool) -> list[float]:
    found, total = [], 0.0
    for one in outcome.ticks:
        total = total + figure(one) if sums else figure(one)
        found.append(total)
    return found


def _panel(title: str, series: Sequence[Sequence[float]], top: int) -> list[str]:
    least, most = min(0.0, *map(min, series)), max(map(max, series))
    scale = _HEIGHT / ((most - least) or 1.0)
    step = _WIDTH / max(1, len(series[0]) - 1)
    bottom = top + _HEIGHT
    found = [
        f'<text x="{_LEFT}" y="{top - 6}">{escape(title)}</text>',
        f'<rect x="{_LEFT}" y="{top}" width="{_WIDTH}" height="{_HEIGHT}" fill="none" stroke="#ccc"/>',
        f'<text x="{_LEFT - 6}" y="{top + 10}" text-anchor="end">{most:,.2f}</text>',
        f'<text x="{_LEFT - 6}" y="{bottom}" text-anchor="end">{least:,.2f}</text>',
        f'<text x="{_LEFT + _WIDTH}" y="{bottom + 14}" text-anchor="end">minute {len(series[0])}</text>',
    ]
    for number, values in enumerate(series):
        points = " ".join(
            f"{_LEFT + index * step:.1f},{bottom - (value - least) * scale:.1f}" for index, value in enumerate(values)
        )
        colour = _COLOURS[number % len(_COLOURS)]
        found.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.6"/>')
    return found
