"""A witness: cosigns checkpoints of the logs it knows, each only if it goes on from the one before.

A party of its own: it imports `log`, `protocol` and `http`, holds its own key and nobody else's secret, and no other
party imports it. Rooms: `witness` decides and remembers, `deliveries` gives receipts for documents, `web` is its HTTP
face (C2SP tlog-witness, and receipts).
"""
