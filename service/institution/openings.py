"""What opens the commitments to the institution's FHE keys: its secret keys and the blindings. Institution only."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from atomic_margin.fhe.institution import InstitutionKeys
from atomic_margin.service.protocol.keys import KEY_OF, KeyPair
from atomic_margin.zk.prove.key import KeyOpening, commit_key
from atomic_margin.zk.statements.key import KeyCommitments


@dataclass(frozen=True)
class KeyOpenings:
    """Commitments to both keys and what opens them; nothing secret appears in its ``repr``.

    Attributes:
        pair: the commitments.
        input: opens those of the input key.
        flag: opens those of the flag key.
    """

    pair: KeyPair
    input: KeyOpening = field(repr=False)
    flag: KeyOpening = field(repr=False)

    def to_json(self) -> str:
        """Return commitments and blindings; the bits are in the key file."""
        both = ((self.pair.input, self.input), (self.pair.flag, self.flag))
        return json.dumps(
            [
                {
                    "commitments": [point.hex() for point in commitments.commitments],
                    "blindings": [str(value) for value in opening.blindings],
                }
                for commitments, opening in both
            ]
        )


def commit_keys(keys: InstitutionKeys, secret: bytes, context: Mapping[str, str]) -> KeyOpenings:
    """Commit to the keys that entries and the flag are under, with fresh blindings."""
    (input_key, input_opening), (flag_key, flag_opening) = (
        commit_key(_bits(keys, function), secret, {**context, "key": name}) for name, function in KEY_OF.items()
    )
    return KeyOpenings(KeyPair(input_key, flag_key), input_opening, flag_opening)


def read_openings(keys: InstitutionKeys, stored: str) -> KeyOpenings:
    """Return what `KeyOpenings.to_json` wrote, with the bits of the key file."""
    commitments, openings = [], []
    for function, part in zip(KEY_OF.values(), json.loads(stored), strict=True):
        bits = _bits(keys, function)
        commitments.append(KeyCommitments(len(bits), tuple(bytes.fromhex(point) for point in part["commitments"])))
        openings.append(KeyOpening(bits, tuple(int(value) for value in part["blindings"])))
    return KeyOpenings(KeyPair(*commitments), *openings)


def _bits(keys: InstitutionKeys, function: str) -> tuple[int, ...]:
    return tuple(int(bit) for bit in keys.secret_bits(function))
