"""Every statement with its verifier and its error, for tests that treat them alike."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from atomic_margin.zk import (
    verify_breach,
    verify_decryption,
    verify_encryption,
    verify_lack,
    verify_portfolio,
    verify_sufficiency,
)
from atomic_margin.zk.bits.challenges import ChallengeSequence
from atomic_margin.zk.errors import (
    BreachProofInvalid,
    DecryptionProofInvalid,
    EncryptionProofInvalid,
    LackProofInvalid,
    PortfolioProofInvalid,
    SufficiencyProofInvalid,
    VerificationError,
)
from atomic_margin.zk.statements.breach import BreachStatement
from atomic_margin.zk.statements.lack import LackStatement


@dataclass(frozen=True)
class Kind:
    verify: Callable[..., None]
    invalid: type[VerificationError]


# By the name of the fixture in conftest.py that makes an honest proof.
KINDS: dict[str, Kind] = {
    "portfolio": Kind(verify_portfolio, PortfolioProofInvalid),
    "sufficiency": Kind(verify_sufficiency, SufficiencyProofInvalid),
    "slack": Kind(verify_sufficiency, SufficiencyProofInvalid),
    "encryption": Kind(verify_encryption, EncryptionProofInvalid),
    "decryption": Kind(verify_decryption, DecryptionProofInvalid),
    "breach": Kind(verify_breach, BreachProofInvalid),
    "lack": Kind(verify_lack, LackProofInvalid),
}
NEW = ("slack", "encryption", "decryption", "breach", "lack")


def first_challenges(statement: Any) -> set[int]:
    """The challenges after fixed messages: a field that changes them is bound, whatever the equations say of it."""
    return set(ChallengeSequence(statement.bit_statement()).after_vectors(b"A", b"S"))


def components(statement: Any) -> list[tuple[str, int, int]]:
    """Name, start and size of every component of a proof; "p" names points and "s" scalars."""
    if isinstance(statement, BreachStatement):
        rows, parameters = statement.rows, statement.parameters
        sizes = [("p W", 48), *((f"p T{r}", 48) for r in range(rows))]
        sizes += [*((f"s share {r}", 32) for r in range(rows - 1)), *((f"s response {r}", 32) for r in range(rows))]
        sizes += [("version", 1)]
    elif isinstance(statement, LackStatement):
        parameters, sizes = statement.parameters, []
    else:
        parameters, sizes = statement.bit_statement().parameters, []
    sizes += [(f"p {name}", 48) for name in ("A", "S", "T1", "T2")]
    sizes += [(f"s {name}", 32) for name in ("t_hat", "tau_x", "mu")]
    sizes += [(f"p {side}{k}", 48) for k in range(parameters.rounds) for side in "LR"]
    sizes += [(f"s {side}[{k}]", 32) for side in ("left", "right") for k in range(parameters.tail)]
    result, start = [], 1
    for name, size in sizes:
        result.append((name, start, size))
        start += size
    return result
