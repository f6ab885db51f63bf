"""Zero-knowledge proofs about committed portfolios: what a verifier and the operator need. Anyone may import it.

It imports `documents` alone. The prover's side is `atomic_margin.zk.prove` (and `bits.prove`, `bits.witness` below
it), for the institution, `bench` and tests; nothing here imports it.

>>> len(generators_hash())
64
"""

from atomic_margin.zk.errors import BatchInvalid, ProofError
from atomic_margin.zk.generators import generators_hash, load_generators
from atomic_margin.zk.groups import Group, load_group
from atomic_margin.zk.statements.breach import BreachStatement
from atomic_margin.zk.statements.decryption import DecryptionStatement
from atomic_margin.zk.statements.encryption import EncryptionStatement
from atomic_margin.zk.statements.key import KeyCommitments, key_commitment_hash
from atomic_margin.zk.statements.lack import LackStatement
from atomic_margin.zk.statements.portfolio import PortfolioStatement
from atomic_margin.zk.statements.sufficiency import SufficiencyStatement
from atomic_margin.zk.verify.batch import Claim, verify_batch
from atomic_margin.zk.verify.breach import verify_breach
from atomic_margin.zk.verify.decryption import verify_decryption
from atomic_margin.zk.verify.encryption import verify_encryption
from atomic_margin.zk.verify.lack import verify_lack
from atomic_margin.zk.verify.portfolio import verify_portfolio
from atomic_margin.zk.verify.sufficiency import verify_sufficiency

__all__ = [
    "BatchInvalid",
    "BreachStatement",
    "Claim",
    "DecryptionStatement",
    "EncryptionStatement",
    "Group",
    "KeyCommitments",
    "LackStatement",
    "PortfolioStatement",
    "ProofError",
    "SufficiencyStatement",
    "generators_hash",
    "key_commitment_hash",
    "load_generators",
    "load_group",
    "verify_batch",
    "verify_breach",
    "verify_decryption",
    "verify_encryption",
    "verify_lack",
    "verify_portfolio",
    "verify_sufficiency",
]
