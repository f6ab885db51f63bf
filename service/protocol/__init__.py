"""What the parties sign and check alike: documents, identities, terms, price rules, trust file, verification.

The lowest room of the service, pure (no network, no database, no files) and without secrets of an institution:
operator, agent, verifier and audit import it. `verification` is the only place where a breach or coverage becomes one.
"""
