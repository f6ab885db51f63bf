"""A signer: attests for a vault on a chain what it verified itself, and signs nothing else.

A party of its own: a price source, a witness or a custodian runs it, never the operator. It imports `verifier`,
`protocol` and what these stand on, holds one key on secp256k1 and nobody's secret, and no other party imports it.
Rooms: `matrices` and `portfolio` decide what may be said, from documents and what the chain says, without I/O; `vault`
reads the chain; `journal` remembers before anything is signed; `signer` does the whole of it; `web` is the HTTP face.
"""
