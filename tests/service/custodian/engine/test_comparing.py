"""Signs and least rows, with one party that holds everything: exhaustively, in a process of its own."""

import subprocess
import sys

PRELUDE = """
import asyncio, itertools, random
from atomic_margin.service.custodian.engine.comparing import *
from atomic_margin.service.custodian.engine.guarded import make_runtime
loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
arithmetic = Arithmetic(*make_runtime(0, [None], 0), 0)
async def opened(shares):
    return await arithmetic.open(await shares)
"""


def holds(code: str) -> None:
    main = "async def main():\n" + "".join(f"    {line}\n" for line in code.strip().splitlines())
    done = subprocess.run(
        [sys.executable, "-c", f"{PRELUDE}{main}loop.run_until_complete(main())"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_signs_of_all_numbers_of_a_width() -> None:
    holds("""
for bits in (1, 2, 5):
    numbers = list(range(-(1 << bits), 1 << bits)) * 8
    assert await opened(arithmetic.negative(numbers, bits)) == [int(number < 0) for number in numbers], bits
for bits in (36, 48):
    numbers = [-(1 << bits), 1 - (1 << bits), -2, -1, 0, 1, 2, (1 << bits) - 1] * 8
    assert await opened(arithmetic.negative(numbers, bits)) == [int(number < 0) for number in numbers], bits
""")


def test_the_first_of_the_least_of_all_small_tables() -> None:
    holds("""
for size in range(1, 8):
    tables = list(itertools.product((-2, 0, 3), repeat=size))
    tables = random.sample(tables, min(len(tables), 120))
    found = await opened(arithmetic.least(tables, 3))
    assert found == [table.index(min(table)) for table in tables], size
mixed = [(5,), (4, -4), (1, 2, 0, 0, 7), tuple(range(20, 0, -1))]
assert await opened(arithmetic.least(mixed, 6)) == [0, 1, 2, 19]
""")


def test_any_and_zero_tests() -> None:
    holds("""
for size in range(1, 6):
    for bits in itertools.product((0, 1), repeat=size):
        assert await arithmetic.open([await arithmetic.any(bits)]) == [int(any(bits))]
_, _, units = await arithmetic.randomness(0, 0, 4)
assert await arithmetic.are_zero([0, 1, 0, -1], units) == [True, False, True, False]
""")


def test_randomness_is_of_its_form_and_differs() -> None:
    holds("""
bits, masks, units = await arithmetic.randomness(400, 50, 50)
assert set(bits) == {0, 1} and 120 < sum(bits) < 280
assert max(masks).bit_length() > MASK_BITS - 10 and max(masks) < 1 << MASK_BITS + 1
assert max(units).bit_length() > 245 and len(set(units)) == 50
""")
