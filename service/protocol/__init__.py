"""What the parties sign and check alike: documents, identities, terms, price rules, trust file, verification.

The lowest room of the service, without network, database or secrets of an institution; the one file it touches is an
identity's own key. Operator, agent, verifier and audit import it. `verification` is the only place where a breach or
coverage becomes one.
"""
