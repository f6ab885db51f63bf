"""The curve of Ed25519 by the book (RFC 8032, 5.1), for tests: slow, affine, and none of the code that is tested."""

import hashlib

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
Point = tuple[int, int]
NEUTRAL: Point = (0, 1)


def root(square: int) -> int | None:
    """A square root mod p, if there is one."""
    found = pow(square, (P + 3) // 8, P)
    for candidate in (found, found * pow(2, (P - 1) // 4, P) % P):
        if (candidate * candidate - square) % P == 0:
            return candidate
    return None


def points(y: int) -> set[Point]:
    """Every point with this y."""
    x = root((y * y - 1) * pow(D * y * y + 1, -1, P) % P)
    return set() if x is None else {(x, y % P), (-x % P, y % P)}


def add(one: Point, other: Point) -> Point:
    (a, b), (c, d) = one, other
    product = D * a * b * c * d % P
    return (a * d + b * c) * pow(1 + product, -1, P) % P, (b * d + a * c) * pow(1 - product, -1, P) % P


def multiply(factor: int, point: Point) -> Point:
    result = NEUTRAL
    for bit in f"{factor:b}":
        result = add(result, result)
        result = add(result, point) if bit == "1" else result
    return result


def order(point: Point) -> int:
    """The least n with n times the point neutral, for points of small order."""
    sums = [point]
    while sums[-1] != NEUTRAL:
        sums.append(add(sums[-1], point))
    return len(sums)


def spell(point: Point, *, over: int = 0, sign: int | None = None) -> str:
    """The 32 bytes of a point in hex; `over` adds p to y so many times, `sign` says other than the x has."""
    x, y = point
    return ((y + over * P) | (x & 1 if sign is None else sign) << 255).to_bytes(32, "little").hex()


def small_order() -> set[Point]:
    """The points of order 1, 2, 4 and 8: L times any point is one."""
    found: set[Point] = set()
    for y in range(2, 60):
        found |= {multiply(L, point) for point in points(y)}
    return found


def spellings(point: Point) -> set[str]:
    """Every 32 bytes that a lenient reader takes for the point: y + p where it fits, any sign where x is 0."""
    signs = (0, 1) if point[0] == 0 else (point[0] & 1,)
    return {spell(point, over=over, sign=sign) for over in (0, 1) if point[1] + over * P < 1 << 255 for sign in signs}


def base() -> Point:
    """The generator: y = 4/5, x even."""
    return min(points(4 * pow(5, -1, P) % P), key=lambda point: point[0] & 1)


def scalar_of(seed: bytes) -> int:
    """The secret scalar of a private key."""
    low = int.from_bytes(hashlib.sha512(seed).digest()[:32], "little")
    return low & ((1 << 254) - 8) | 1 << 254
