"""What verification may cost."""

from atomic_margin.contracts.deploy import TRANSACTION_GAS

from .cases import breach, sufficiency
from .chains import Verifier
from .gas import measured

MOST_BREACH = 2_000_000


def test_a_breach_and_one_with_a_top_up_keep_to_their_limits(on_anvil: Verifier) -> None:
    shown, _ = measured(on_anvil, breach(rows=24, entries=64, bits=32))
    covered, _ = measured(on_anvil, sufficiency(rows=24, entries=64, bits=32, top_up=1000))
    print(f"breach {shown:,}, top-up {covered:,}, both {shown + covered:,} of {TRANSACTION_GAS:,}")
    assert shown <= MOST_BREACH
    # What a vault does besides is far below what is left.
    assert shown + covered <= TRANSACTION_GAS - 1_000_000
