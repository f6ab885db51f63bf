"""Times proofs at the sizes of the service, on honest statements that it makes up. Prover's side: it holds witnesses.

For the command line and tests; it stands on `zk`. docs/proofs.md has the figures.
"""
