"""Check a custodian's shares against their deal: one multi-scalar multiplication. Anyone may call it.

The custodian at point x has shares s_i and r_i of every entry. They lie on the committed polynomials if

    s_i G + r_i H  =  V_i + x C_(1,i) + x^2 C_(2,i) + … + x^(t-1) C_(t-1,i)        for every entry i

and all of these are checked at once, each weighted with its power of a challenge that answers every byte of statement,
deal and shares. Whoever has the shares can check them: the custodian, and in a re-sharing whoever gets a part of it.
"""

from collections.abc import Sequence

from atomic_margin.zk.commitments import decode_commitments
from atomic_margin.zk.errors import EncodingError, OtherDeal, SharesInvalid, SharingEncodingError
from atomic_margin.zk.generators import load_generators
from atomic_margin.zk.groups import Group, Point, Scalar, load_group
from atomic_margin.zk.sharing.messages import Deal, Shares
from atomic_margin.zk.vectors import inner, powers, scale


def check_shares(
    deal: Deal,
    shares: Shares,
    custodian: int,
    group: Group | None = None,
    known: dict[bytes, Point] | None = None,
) -> None:
    """Check that ``shares`` are what the custodian at point ``custodian`` has of ``deal``; returning means they are.

    Args:
        deal: statement and commitments, from where the caller trusts them: the account's state names the hash.
        shares: as they came.
        custodian: point of the custodian that is to have them.
        group: backend, by default the fastest installed.
        known: points of this backend decoded before, by their bytes; those decoded now are added.

    Raises:
        OtherDeal: they are of another deal or statement, or of another custodian.
        PointEncodingError: a commitment of the statement does not decode.
        SharingEncodingError: a commitment of the deal does not decode, or there are more or fewer shares than entries.
        SharesInvalid: they are not on the committed polynomials; names the first entry.
    """
    transcript, deal_hash = deal.transcript()
    if shares.deal != deal_hash:
        raise OtherDeal("the shares are of another deal, or of one about another statement: fetch those of this deal")
    if shares.custodian != custodian:
        raise OtherDeal(f"the shares are of point {shares.custodian}, not of {custodian}: fetch your own")
    if custodian not in deal.statement.points:
        raise OtherDeal(f"the deal has no custodian at point {custodian}: its points are {deal.statement.points}")
    if (len(shares.values), len(shares.blindings)) != (deal.statement.entries, deal.statement.entries):
        raise SharingEncodingError(f"a deal of {deal.statement.entries} entries has as many pairs of shares")
    group = group or load_group()
    columns = deal_points(deal, group, known)
    transcript.absorb("shares", shares.to_bytes())
    weights = powers(group, group.scalar(transcript.challenge("omega")), deal.statement.entries)
    values, blindings = group.scalars(shares.values), group.scalars(shares.blindings)

    def hold(entries: slice) -> bool:
        part = [column[entries] for column in columns]
        return _on_polynomials(group, custodian, part, values[entries], blindings[entries], weights[entries])

    if hold(slice(0, deal.statement.entries)):
        return
    first, last = 0, deal.statement.entries
    # The first entry with a wrong share, by halving: as much work again, whatever an institution makes up.
    while last - first > 1:
        half = (first + last) // 2
        first, last = (half, last) if hold(slice(first, half)) else (first, half)
    raise SharesInvalid(custodian, first)


def deal_points(deal: Deal, group: Group, known: dict[bytes, Point] | None = None) -> list[list[Point]]:
    """Return all coefficients in the exponent, degree by degree: first the V_i, then what the deal commits to.

    This is all that can be checked of a deal without shares.

    Raises:
        PointEncodingError: a commitment of the statement does not decode.
        SharingEncodingError: one of the deal does not; names degree and entry. The identity is refused.
    """
    known = {} if known is None else known
    columns = [decode_commitments(group, deal.statement.commitments, known)]
    for degree, column in enumerate(deal.coefficients, 1):
        try:
            columns.append(decode_commitments(group, column, known))
        except EncodingError as error:
            raise SharingEncodingError(f"coefficients of degree {degree}: {error}") from None
    return columns


def _on_polynomials(
    group: Group,
    point: int,
    columns: Sequence[Sequence[Point]],
    values: Sequence[Scalar],
    blindings: Sequence[Scalar],
    weights: Sequence[Scalar],
) -> bool:
    generators = load_generators(group, 0)
    points, scalars = (
        [generators.value, generators.blinding],
        [
            inner(group, weights, values),
            inner(group, weights, blindings),
        ],
    )
    for column, power in zip(columns, powers(group, group.scalar(point), len(columns)), strict=True):
        points += column
        scalars += scale(weights, -power)
    return group.msm(points, scalars) == group.identity()
