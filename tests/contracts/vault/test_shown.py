"""What `chain show` says of an account is what the vault has of it."""

from atomic_margin.contracts.addresses import ChainAddresses
from atomic_margin.contracts.shown import shown_account

from .world import BOOK, HOLDER, RUN, STRANGER, World


def test_an_account_is_shown_as_the_vault_has_it(opened: World) -> None:
    addresses = ChainAddresses(
        opened.chain.id,
        opened.vault.address,
        opened.oracle.address,
        opened.verifier.address,
        opened.token.address,
        "USDC",
    )
    assert shown_account(opened.chain.w3, addresses, HOLDER.address) == {
        "account": HOLDER.address,
        "state": "valuation",
        "free": "1000",
        "posted": "500",
        "commitments": "0x" + BOOK.hex(),
        "run": "0x" + RUN.hex(),
        "sequence": "1",
        "tick": "1",
    }
    nobody = shown_account(opened.chain.w3, addresses, STRANGER.address)
    assert (nobody["state"], nobody["run"]) == ("inactive", None)
