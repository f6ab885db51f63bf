"""A rail on a chain: what the settlement hook decides is carried out by a `Vault` that verifies the proofs itself.

`rail` is the rail, `transactions` gets transactions mined, `vault` reads and writes the contract, `attesting` asks the
signers, `evidence` has the proofs of an answer as the contract takes them, `mirror` compares the ledger with the chain.
Needs the extra `chain`.
"""
