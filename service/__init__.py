"""The parties as processes: what they sign, the operator, the institution's agent, the verifier, the command line.

The top floor: it imports every package, and nothing but `bench` stands beside it. Walls, from below: `protocol` and
`http`; `feed`; `verifier`; `operator` and `institution`, which never import each other; `audit`; `demo`; `cli`.
`errors` has the root `ServiceError` for all of them.
"""
