"""What a venue can give to the others, or needs from them, as the least of a few lines: the theory of cross-margin.

For the other modules of this package. In one scenario let venue v have the profit and loss P_v (charges and profit so
far included) and a pool worth C_v >= 0 after haircut; let f_v be the credit of its gains elsewhere, h_v the transfer
haircut and L_v the transfer limit of its pool, and M the central pool. What the venue has to spare is
C_v + min(P_v, f_v P_v), gains counted at the credit. Transfers form a star: x_v leaves venue v, y_v arrives there, and
everything passes a hub. The account is covered in the scenario if there are

    0 <= x_v <= L_v,  y_v >= 0      with   C_v + min(P_v, f_v P_v) - x_v + y_v >= 0   for every venue
                                    and    Σ_v y_v <= M + Σ_v (1 - h_v) x_v                                      (1)

**Theorem.** With S_v = C_v + min(P_v, f_v P_v), (1) holds if and only if

    M + Σ_v K_v >= 0      where   K_v = min( S_v, (1 - h_v) S_v, (1 - h_v) L_v )                                 (2)

*Proof.* Venue v needs y_v = x_v - S_v if that is positive, and gives (1 - h_v) x_v; its net contribution to the hub is
(1 - h_v) x_v - max(0, x_v - S_v). It rises with x_v up to max(0, S_v) and does not rise beyond, so its maximum over
[0, L_v] is at x_v = min(L_v, max(0, S_v)): (1 - h_v) min(L_v, S_v) if S_v >= 0, and S_v if S_v < 0. Both are K_v.
Contributions of different venues are chosen independently, so the hub balances for some choice if and only if it does
for the largest contributions. ∎

Writing the minima out gives the cut condition of a max-flow: (2) holds if and only if for every choice of one line a
venue the sum is not negative. With h = 0, f = 1 these are the 2^V - 1 subsets of venues, each with the limits of the
venues outside it (Ford & Fulkerson, "Maximal flow through a network", Canadian Journal of Mathematics 8 (1956),
399-404). The lines of K_v, in P_v and C_v:

    base       P + C                      a loss beyond the pool
    kept       (1 - h) (P + C)            spare collateral, while P <= 0
    gained     (1 - h) (f P + C)          spare collateral and a gain
    limit      (1 - h) L                  what leaves at most

The line f P + C without (1 - h) is left out: it would be least only where P > 0 and f P + C < 0, and C >= 0. Of the
choices with a single venue off its limit only its base is needed: where another line of it is less, both are not
negative. The choice with every venue at its limit is not needed either. So -min over choices, floored at 0, is the
least cash that, posted at the hub, makes the scenario feasible: the shortfall, and what a margin call asks for.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from atomic_margin.margin.errors import TooManyCuts
from atomic_margin.margin.models.cross_margin.document import CrossMarginModel, Venue
from atomic_margin.margin.rows.matrix import MAX_ROWS


@dataclass(frozen=True)
class Piece:
    """One line of K_v.

    Attributes:
        name: base, kept, gained, limit, or spread (see `rows`).
        gain: factor of P_v.
        pool: factor of C_v.
        constant: USD.
        credit: below 1 if each position's gain, not the venue's, is to be counted at that fraction.
    """

    name: str
    gain: float
    pool: float
    constant: float
    credit: float = 1.0


def pieces(venue: Venue, credit: float) -> tuple[Piece, ...]:
    """Return the different lines of K_v, the base first; not rounded."""
    kept = 1.0 - float(venue.transfer_haircut)
    found = [Piece("base", 1.0, 1.0, 0.0)]
    if venue.transfer_limit != 0:
        if kept < 1:
            found.append(Piece("kept", kept, kept, 0.0))
        if credit < 1:
            found.append(Piece("gained", kept * credit, kept, 0.0))
    return (*found, *_limit(venue, kept))


def spread_pieces(venue: Venue, credit: float) -> tuple[Piece, ...]:
    """Return fewer lines, none above K_v: ``spread`` counts each position's gain at the credit, and stands for two."""
    kept = 1.0 - float(venue.transfer_haircut)
    found = [Piece("base", 1.0, 1.0, 0.0)]
    if venue.transfer_limit != 0 and (kept < 1 or credit < 1):
        found.append(Piece("spread", kept, kept, 0.0, credit))
    return (*found, *_limit(venue, kept))


def cuts(venues: list[tuple[Piece, ...]]) -> Iterator[tuple[Piece, ...]]:
    """Yield every choice of one line a venue that is needed."""
    for choice in product(*venues):
        open_venues = [piece for piece in choice if piece.name != "limit"]
        if len(open_venues) > 1 or (open_venues and open_venues[0].name == "base"):
            yield choice


def needed_cuts(model: CrossMarginModel, venues: list[tuple[Piece, ...]]) -> list[tuple[Piece, ...]]:
    """Return the choices of one scenario.

    Raises:
        TooManyCuts: one for each scenario are more rows than a matrix has.
    """
    size = 1
    for found in venues:
        size *= len(found)
    if size <= 4**8:
        chosen = list(cuts(venues))
        size = len(chosen)
        if size * len(model.scenarios) <= MAX_ROWS:
            return chosen
    raise TooManyCuts(
        f"{len(model.venues)} venues take {size} rows a scenario, and {len(model.scenarios)} scenarios more than the "
        f"{MAX_ROWS} rows of a matrix: publish fewer of either, or use the form with slack"
    )


def all_cuts(model: CrossMarginModel, venues: list[tuple[Piece, ...]]) -> list[tuple[Piece, ...]]:
    """Return every choice of one line a venue, of one scenario.

    Raises:
        TooManyCuts: one for each scenario are more rows than a matrix has.
    """
    size = 1
    for found in venues:
        size *= len(found)
    if size * len(model.scenarios) > MAX_ROWS:
        raise TooManyCuts(
            f"{size} cuts a scenario are more rows than the {MAX_ROWS} of a matrix: use the form with slack"
        )
    return list(product(*venues))


def _limit(venue: Venue, kept: float) -> tuple[Piece, ...]:
    if venue.transfer_limit is None:
        return ()
    return (Piece("limit", 0.0, 0.0, kept * float(venue.transfer_limit)),)
