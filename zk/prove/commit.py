"""Commit to secret values and keep the openings. Prover only.

>>> commitments, blindings = commit_values((3, 0), secret=bytes(32), context={"submission": "1"})
>>> len(commitments), len(commitments[0]), len(blindings)
(2, 48, 2)
"""

from collections.abc import Mapping, Sequence

from atomic_margin.documents.canonical import canonical_bytes
from atomic_margin.zk.errors import WitnessError
from atomic_margin.zk.groups import ORDER, SCALAR_BYTES, Group, load_group
from atomic_margin.zk.prove.nonces import NonceStream
from atomic_margin.zk.prove.openings import commit_all
from atomic_margin.zk.statements import checks

MIN_SECRET_BYTES = 32


def commit_values(
    values: Sequence[int], secret: bytes, context: Mapping[str, str], group: Group | None = None
) -> tuple[tuple[bytes, ...], tuple[int, ...]]:
    """Commit to every value under a fresh blinding; return (commitments, blindings).

    The blindings cannot be derived again: store them with the values, they are needed for every proof about them.

    Args:
        values: integers; their ranges are proved later.
        secret: at least 32 bytes only the prover knows, which protect the blindings if the random generator is weak.
        context: what is being committed to, as labelled strings.
        group: backend, by default the fastest installed.

    Raises:
        WitnessError: the secret is too short.
        StatementError: the context is empty or not made of strings.
    """
    if len(secret) < MIN_SECRET_BYTES:
        raise WitnessError(
            f"the secret has {len(secret)} bytes: use {MIN_SECRET_BYTES} random ones, kept by the prover"
        )
    group = group or load_group()
    encoded = b"".join((value % ORDER).to_bytes(SCALAR_BYTES, "big") for value in values)
    nonces = NonceStream(secret, b"commitments", canonical_bytes(checks.context(context)), encoded)
    blindings = tuple(nonces.integers(len(values)))
    return commit_all(group, values, blindings), blindings
