"""Chains with the verifier on them: anvil where `make contracts` was run, eth-tester everywhere."""

import functools
from collections.abc import Iterator

import pytest
from eth._utils import headers
from eth_keys.backends.native import main as signatures

from atomic_margin.contracts import local_chain
from atomic_margin.contracts.deploy import deploy_verifier

from .. import outside
from .cases import Case, breach, sufficiency
from .chains import Verifier


@pytest.fixture(scope="package", autouse=True)
def a_second_a_block() -> Iterator[None]:
    """Chains in this process have the time of their blocks, whatever the machine's, and know signatures they saw."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(headers, "eth_now", lambda: 0)
        for name in ("ecdsa_raw_sign", "ecdsa_raw_recover"):
            patch.setattr(signatures, name, functools.cache(getattr(signatures, name)))
        yield


@pytest.fixture(scope="session")
def on_anvil() -> Iterator[Verifier]:
    """Skipped, loudly, where anvil is not installed."""
    if not local_chain.ANVIL.exists():
        outside.absent("anvil, by `make contracts`")
    with local_chain.anvil() as web3:
        yield Verifier(web3, deploy_verifier(web3, web3.eth.accounts[0]))


@pytest.fixture(scope="session")
def on_tester() -> Verifier:
    web3 = local_chain.tester()
    return Verifier(web3, deploy_verifier(web3, web3.eth.accounts[0]))


@pytest.fixture(scope="session")
def small_sufficiency() -> Case:
    """Two rounds, and three bits that only pad."""
    return sufficiency(rows=3, entries=4, bits=11, top_up=7)


@pytest.fixture(scope="session")
def small_breach() -> Case:
    """One round, and one bit that only pads."""
    return breach(rows=3, entries=4, bits=17)
