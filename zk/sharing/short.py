"""A deal without its last degree: for whoever has shares of it, as those points follow from them. Anyone may call it.

A custodian downloads t - 2 points an entry in place of t - 1. It computes the commitments to the last coefficients from
its own shares by the equation of `zk.sharing.check`, and compares the hash of what it gets with the one that the
account's state names. If they are the same, its shares fit the deal, and it has the whole deal. If not, something is
wrong, and nothing says what: then it asks for the whole deal, and `check_shares` names the entry.

    short deal  02 | C of degree 1, entry by entry | … | C of degree t - 2
"""

import itertools

from atomic_margin.zk.commitments import decode_commitments
from atomic_margin.zk.errors import EncodingError, OtherDeal, SharingEncodingError
from atomic_margin.zk.generators import load_generators
from atomic_margin.zk.groups import ORDER, POINT_BYTES, Group, load_group
from atomic_margin.zk.sharing.messages import Deal, Shares, cut, require_form
from atomic_margin.zk.sharing.statement import SharingStatement

SHORT_VERSION = 2


def short_bytes(statement: SharingStatement) -> int:
    """Return the size of a short deal."""
    return 1 + (statement.threshold - 2) * statement.entries * POINT_BYTES


def shorten(deal: Deal) -> bytes:
    """Return the deal without its last degree."""
    return bytes([SHORT_VERSION]) + b"".join(itertools.chain.from_iterable(deal.coefficients[:-1]))


def complete(
    statement: SharingStatement,
    data: bytes,
    shares: Shares,
    custodian: int,
    deal_hash: bytes,
    group: Group | None = None,
) -> Deal:
    """Return the deal whose hash is ``deal_hash``; returning means that ``shares`` are the custodian's shares of it.

    Args:
        statement: what the deal is about, from where the caller trusts it.
        data: the short deal.
        shares: as they came.
        custodian: point of the custodian that is to have them.
        deal_hash: of the deal, from where the caller trusts it: the account's state.
        group: backend, by default the fastest installed.

    Raises:
        OtherDeal: the shares are another custodian's, or statement, short deal and shares do not give a deal with this
            hash; ask for the whole deal, and `check_shares` says why.
        PointEncodingError: a commitment of the statement does not decode.
        SharingEncodingError: the length or the version is not what ``statement`` calls for, a point does not decode, or
            there are more or fewer shares than entries.
    """
    name = f"a short deal of {statement.entries} entries with threshold {statement.threshold}"
    require_form(data, short_bytes(statement), SHORT_VERSION, name)
    if shares.custodian != custodian or custodian not in statement.points:
        raise OtherDeal(f"the shares are of point {shares.custodian}, not of the custodian at {custodian}")
    if (len(shares.values), len(shares.blindings)) != (statement.entries, statement.entries):
        raise SharingEncodingError(f"a deal of {statement.entries} entries has as many pairs of shares")
    group = group or load_group()
    encoded = cut(data[1:], statement.entries)
    columns = [decode_commitments(group, statement.commitments)]
    for degree, column in enumerate(encoded, 1):
        try:
            columns.append(decode_commitments(group, column))
        except EncodingError as error:
            raise SharingEncodingError(f"coefficients of degree {degree}: {error}") from None
    generators = load_generators(group, 0)
    # C of degree t - 1 is x^-(t-1) times what is left of s G + r H without the lower degrees.
    inverse = pow(custodian, -1, ORDER)
    factors = [pow(inverse, statement.threshold - 1 - degree, ORDER) for degree in range(statement.threshold - 1)]
    lower = group.scalars(-factor for factor in factors)
    last: list[bytes] = []
    for value, blinding, *points in zip(shares.values, shares.blindings, *columns, strict=True):
        on_bases = group.scalars((value * factors[0], blinding * factors[0]))
        point = group.msm([generators.value, generators.blinding, *points], [*on_bases, *lower])
        if point == group.identity():
            raise SharingEncodingError(f"coefficients of degree {len(columns)}: commitment {len(last)}: the identity")
        last.append(group.encode_point(point))
    deal = Deal(statement, (*encoded, tuple(last)))
    if not deal.hash == shares.deal == deal_hash:
        raise OtherDeal(
            "the shares and what is left of their deal do not give a deal with this hash: fetch the whole deal and "
            "check the shares against it, which names a wrong one"
        )
    return deal
