"""The ground floor: strict documents, one canonical form to hash and sign, field types, and their errors.

Everybody may import it; it imports nothing of atomic-margin. `canonical` is the form that is hashed, `strict` the
parsing of what comes from outside, `fields` the field types of signed documents, `ed25519` which keys may be trusted,
`errors` the root `DocumentsError`.
"""
