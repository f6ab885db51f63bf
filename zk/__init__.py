"""Zero-knowledge proofs about committed portfolios: what a verifier and the operator need. Anyone may import it.

The prover's side is `atomic_margin.zk.prove` (and `bits.prove`, `bits.witness` below it); nothing here imports it.

>>> len(generators_hash())
64
"""

from atomic_margin.zk.errors import ProofError
from atomic_margin.zk.generators import generators_hash, load_generators
from atomic_margin.zk.groups import Group, load_group
from atomic_margin.zk.statements.portfolio import PortfolioStatement
from atomic_margin.zk.statements.sufficiency import SufficiencyStatement
from atomic_margin.zk.verify.portfolio import verify_portfolio
from atomic_margin.zk.verify.sufficiency import verify_sufficiency

__all__ = [
    "Group",
    "PortfolioStatement",
    "ProofError",
    "SufficiencyStatement",
    "generators_hash",
    "load_generators",
    "load_group",
    "verify_portfolio",
    "verify_sufficiency",
]
