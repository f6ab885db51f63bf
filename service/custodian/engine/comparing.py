"""Signs and least rows of shared numbers, all of one level in one message. Stands on MPyC's input, product and output.

A comparison is MPyC's, after Toft: the number is opened under a mask, and a random sign decides which way its low bits
are compared with those of the mask. Two things differ from `sgn` of mpyc 0.11:

- Its zero test opens the product of two sharings as it is, a polynomial of twice the degree. Whoever sees that can
  factor it, and has what was tested, and from that the mask: where the answer is not zero, each party alone learns the
  low bits of what is compared. Here every product is shared anew before it is opened.
- Random bits are products of signs that t parties put in, not square roots, which cost far more in this field.

Sources: Toft, *Primitives and applications for multi-party computation* (2007); Damgård, Fitzi, Kiltz, Nielsen and
Toft, *Unconditionally secure constant-rounds multi-party computation for equality, comparison, bits and
exponentiation* (2006).
"""

import secrets
from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple

from atomic_margin.service.custodian.engine.errors import PeerMalformed
from atomic_margin.zk.groups import ORDER

MASK_BITS = 128
"""How many bits more a mask has than the number under it: what is opened tells it with probability 2^-MASK_BITS.

A number of 48 bits, this and the carry of sixteen dealers' sum are 180 bits, and never reach r."""


class Pair(NamedTuple):
    """Shares of a number of a table, and of its place there, from 0."""

    value: int
    place: int


class Arithmetic:
    """Numbers modulo r shared by MPyC; a share is an integer, and sums of them need nobody.

    Every method that waits is called by all parties, in the same order and with lists of the same length.

    Args:
        runtime: MPyC's.
        field: MPyC's field of integers modulo r.
        degree: of the sharing polynomials; so many parties together learn nothing.
    """

    def __init__(self, runtime: Any, field: Any, degree: int) -> None:
        self._runtime, self._field = runtime, field
        self._dealers = list(range(degree + 1))
        self._deals = runtime.pid in self._dealers

    async def put_in(self, values: Sequence[int]) -> list[list[int]]:
        """Share ``values`` of each party; return shares of them, party by party."""
        return await self._input(values, list(range(len(self._runtime.parties))))

    async def multiply(self, left: Sequence[int], right: Sequence[int]) -> list[int]:
        """Return shares of the products, in one round."""
        if not left:
            return []
        product = await self._runtime.schur_prod(self._elements(left), self._elements(right))
        return _values(product, len(left))

    async def open(self, shares: Sequence[int]) -> list[int]:
        """Return the numbers themselves, below r; all parties learn them, and nothing else may be opened."""
        return _values(await self._runtime.output(self._elements(shares)), len(shares))

    async def randomness(self, bits: int, masks: int, units: int) -> tuple[list[int], list[int], list[int]]:
        """Return shares of so many random bits, of masks of `MASK_BITS` bits and a few, and of numbers modulo r.

        Nobody knows one of them as long as one of the dealers keeps what it put in.
        """
        own = [0] * (bits + masks + units)
        if self._deals:
            signs = secrets.randbits(bits) if bits else 0
            own = [2 * (signs >> place & 1) - 1 for place in range(bits)]
            own += [secrets.randbits(MASK_BITS) for _ in range(masks)] + [
                secrets.randbelow(ORDER) for _ in range(units)
            ]
        dealt = await self._input(own, self._dealers)
        product, *others = [one[:bits] for one in dealt]
        for other in others:
            product = await self.multiply(product, other)
        half = (ORDER + 1) // 2
        sums = [sum(column) for column in zip(*(one[bits:] for one in dealt), strict=True)]
        return [(sign + 1) * half % ORDER for sign in product], sums[:masks], sums[masks:]

    async def are_zero(self, shares: Sequence[int], units: Sequence[int]) -> list[bool]:
        """Tell which numbers are zero, and nothing else of them; ``units`` are random, one for each."""
        return [value == 0 for value in await self.open(await self.multiply(shares, units))]

    async def negative(self, shares: Sequence[int], bits: int) -> list[int]:
        """Return shares of bits: 1 for each number below zero. All are from -2^bits to 2^bits - 1."""
        count, power = len(shares), 1 << bits
        random, masks, units = await self.randomness(count * (bits + 1), count, count)
        signs = [2 * bit - 1 for bit in random[:count]]
        below = [random[count + place * bits : count + (place + 1) * bits] for place in range(count)]
        hidden = [
            share + power + sum(bit << place for place, bit in enumerate(bit_shares))
            for share, bit_shares in zip(shares, below, strict=True)
        ]
        opened = await self.open([value + (mask << bits) for value, mask in zip(hidden, masks, strict=True)])
        public = [value % power for value in opened]
        factors = [_factors(*columns, bits) for columns in zip(public, below, signs, strict=True)]
        zeros = await self.are_zero(await self._products(factors), units)
        inverse = pow(power, -1, ORDER)
        return [
            (value - masked + ((3 - sign if zero else 3 + sign) << (bits - 1))) * inverse % ORDER
            for value, masked, sign, zero in zip(public, hidden, signs, zeros, strict=True)
        ]

    async def any(self, bits: Sequence[int]) -> int:
        """Return a share of 1 if one of the shared ``bits`` is, else of 0."""
        (product,) = await self._products([[1 - bit for bit in bits]])
        return (1 - product) % ORDER

    async def least(self, tables: Sequence[Sequence[int]], bits: int) -> list[int]:
        """Return, for each table, a share of the index of its least number; the lowest index of equal ones.

        Any two numbers of a table differ by less than 2^bits.
        """
        return [pair.place for pair in await self.least_pairs(tables, bits)]

    async def least_pairs(self, tables: Sequence[Sequence[int]], bits: int) -> list[Pair]:
        """Return the least number of each table too.

        Pairs of neighbours are compared, of all tables at once, then those that are left.
        """
        left = [_numbered(table) for table in tables]
        while any(len(table) > 1 for table in left):
            smaller = iter(await self._smaller([pair for table in left for pair in _neighbours(table)], bits))
            left = [[*(next(smaller) for _ in table[1::2]), *table[len(table) & ~1 :]] for table in left]
        return [table[0] for table in left]

    async def least_several(self, table: Sequence[int], count: int, bits: int) -> list[Pair]:
        """Return the ``count`` least numbers of a table, the least first, with shares of their places.

        As often as that, neighbours are compared until one is left; all others go on to the next time. That takes
        ``count`` times as many comparisons as numbers, where sorting them takes more as soon as they are many.
        """
        found, left = list[Pair](), _numbered(table)
        for _ in range(count):
            larger = list[Pair]()
            while len(left) > 1:
                pairs = _neighbours(left)
                smaller = await self._smaller(pairs, bits)
                larger += [
                    Pair(a.value + b.value - least.value, a.place + b.place - least.place)
                    for (a, b), least in zip(pairs, smaller, strict=True)
                ]
                left = [*smaller, *left[len(left) & ~1 :]]
            found.append(left[0])
            left = larger
        return found

    async def _smaller(self, pairs: Sequence[tuple[Pair, Pair]], bits: int) -> list[Pair]:
        """Return the smaller one of each pair, the first of equal ones."""
        second = await self.negative([b.value - a.value for a, b in pairs], bits)
        changes = await self.multiply(
            list(chain.from_iterable((bit, bit) for bit in second)),
            list(chain.from_iterable((b.value - a.value, b.place - a.place) for a, b in pairs)),
        )
        return [
            Pair(a.value + value, a.place + place)
            for (a, _), value, place in zip(pairs, changes[::2], changes[1::2], strict=True)
        ]

    async def _products(self, lists: Sequence[Sequence[int]]) -> list[int]:
        """Return a share of each list's product."""
        left = [list(one) for one in lists]
        while any(len(one) > 1 for one in left):
            products = iter(
                await self.multiply(
                    list(chain.from_iterable(one[0 : len(one) & ~1 : 2] for one in left)),
                    list(chain.from_iterable(one[1::2] for one in left)),
                )
            )
            left = [[*(next(products) for _ in one[1::2]), *one[len(one) & ~1 :]] for one in left]
        return [one[0] for one in left]

    async def _input(self, values: Sequence[int], senders: list[int]) -> list[list[int]]:
        dealt = await self._runtime.input(self._elements(values), senders=senders)
        return [_values(one, len(values)) for one in dealt]

    def _elements(self, shares: Sequence[int]) -> list[Any]:
        return [self._field(share) for share in shares]


def _numbered(table: Sequence[int]) -> list[Pair]:
    return [Pair(value, place) for place, value in enumerate(table)]


def _neighbours(table: Sequence[Pair]) -> list[tuple[Pair, Pair]]:
    return list(zip(table[::2], table[1::2], strict=False))


def _factors(public: int, bits: Sequence[int], sign: int, count: int) -> list[int]:
    """Shares of factors of which one is zero if and only if ``sign`` says right which of two numbers is larger.

    For 1, that ``public`` is not below the number of these ``bits``, lowest first; for -1, that it is.
    """
    factors, differing = [], 0
    for place in reversed(range(count)):
        known = public >> place & 1
        factors.append((sign + bits[place] - known + 3 * differing) % ORDER)
        differing += 1 - bits[place] if known else bits[place]
    return [*factors, (sign - 1 + 3 * differing) % ORDER]


def _values(elements: Sequence[Any], count: int) -> list[int]:
    if len(elements) != count:
        raise PeerMalformed("a custodian sent more or fewer shares than the computation takes: open with others")
    return [int(element.value) for element in elements]
