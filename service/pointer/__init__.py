"""From an ENS name to an operator's log, its newest checkpoint, and a bundle: read, checked, published, answered.

A verifier reads and checks (`names`, `addresses`, `downloads`, `chain`, `lookups`, `records`, `check`); an operator
publishes (`publish`, `keystore`) and answers as a gateway (`gateway`). Any party may enter; the operator's HTTP face
and the commands do. What touches a chain needs the extra `chain`, and imports it when it is called.
"""
