"""An append-only log: RFC 6962 hashes over C2SP tiles, checkpoints as signed notes, proofs, cosignatures of witnesses.

Pure: nothing here reads a file, a clock or the network. Operator, agent, verifier, witness and monitor import it; who
stores leaves or fetches tiles hands in a function that reads hashes. The rooms: `hashing` and `tree` (roots and proofs
from stored hashes), `proofs` (their verification), `tiles` (paths and encodings), `notes` (signed notes and keys),
`checkpoints` (tree heads, cosignatures, and what it takes to believe one), `evidence` (whether leaves that somebody has
are in a log, by a trust file), `clock` (when a time to answer is over).

Specifications: RFC 6962, section 2.1, and RFC 9162, sections 2.1.3.2 and 2.1.4.2, for verification; of C2SP
signed-note, tlog-checkpoint, tlog-tiles and tlog-cosignature (Ed25519, `cosignature/v1`).
"""
