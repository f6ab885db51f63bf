"""What keeps a rail from going on. Each is shown with its run and tried again; none of them is an answer to a request.

RailProblem
├── NodeProblem        the node does not answer, is on another chain, or answers nonsense
├── VaultRefuses       the contract would revert; its named error is said
├── SenderProblem      too little to pay for gas, fees over the limit, a key that does not sign
├── NotCarriable       what this chain cannot settle: proofs of another form, an institution without an account there
├── SignersSilent      fewer than k signers attested
└── LedgerDiffers      what the chain moved is not what the ledger would
"""


class RailProblem(Exception):
    """Root of them. The message says what is wrong and what to do."""


class NodeProblem(RailProblem):
    """The node does not answer, is on another chain, or answers nonsense."""


class VaultRefuses(RailProblem):
    """The contract would revert."""


class SenderProblem(RailProblem):
    """The sender cannot send."""


class NotCarriable(RailProblem):
    """This chain cannot settle the run."""


class SignersSilent(RailProblem):
    """Fewer than k signers attested."""


class LedgerDiffers(RailProblem):
    """What the chain moved is not what the ledger would."""
