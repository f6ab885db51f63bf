"""The operator: store, accounts, runs, settlement, and the HTTP face over them.

Command line and audit import it. It stands on `verifier`, `feed`, `protocol` and `http`; nothing here imports a module
that touches an institution's secrets, which import-linter and a test hold. Rooms: `web` > `runs`, `accounts`,
`settlement` > `store`; `operator` is the object that all of them take.
"""
