"""How the frozen proofs were made, those in one piece and those in chunks, and the vectors of the transcript.

    python -m tests.zk.vectors.make > tests/zk/vectors/proofs.json
    python -m tests.zk.vectors.make chunks > tests/zk/vectors/chunks.json
    python -m tests.zk.vectors.make transcript > tests/zk/vectors/transcript.json

They are frozen. Making one again (with fresh nonces) is right only when the version of its proof format changes.
"""

import json
import sys
from typing import Any

import numpy as np
from tests.zk.ciphertexts import encrypt, random_key

from atomic_margin.zk import (
    BreachStatement,
    DecryptionStatement,
    EncryptionStatement,
    PortfolioStatement,
    SufficiencyStatement,
    generators_hash,
    load_group,
)
from atomic_margin.zk.prove.breach import prove_breach
from atomic_margin.zk.prove.commit import commit_values
from atomic_margin.zk.prove.decryption import prove_decryption
from atomic_margin.zk.prove.encryption import prove_encryption
from atomic_margin.zk.prove.key import commit_key
from atomic_margin.zk.prove.portfolio import prove_portfolio
from atomic_margin.zk.prove.sufficiency import prove_sufficiency
from atomic_margin.zk.prove.witness import BreachWitness, EncryptionWitness, PortfolioWitness, SufficiencyWitness
from atomic_margin.zk.transcript import Transcript


def record(name: str, statement: Any, proof: bytes) -> dict[str, Any]:
    """Every field of the statement and the proof, as JSON takes them; bytes in hex, matrices as lists."""

    def plain(value: Any) -> Any:
        if isinstance(value, bytes):
            return value.hex()
        if isinstance(value, np.ndarray):
            return value.tolist()
        if isinstance(value, tuple):
            return [plain(item) for item in value]
        return vars(value) | {"commitments": plain(value.commitments)} if hasattr(value, "chunks") else value

    return {
        "statement": name,
        **{label: plain(value) for label, value in vars(statement).items()},
        "proof": proof.hex(),
    }


def main() -> None:
    group = load_group("arkworks")
    context = {"institution": "Harbour Fund", "submission": "1"}
    run = {**context, "price sequence": "42", "role": "maintenance"}
    secret, values, key_bits = bytes(range(32)), (5, 0, 31), random_key(10)
    commitments, blindings = commit_values(values, secret, context, group)
    key, opening = commit_key(key_bits, secret, context, group)
    portfolio = PortfolioStatement(commitments, (5, 5, 5), (1, 32, 7), 2**40 - 1, context)
    records = [record("portfolio", portfolio, prove_portfolio(portfolio, PortfolioWitness(values, blindings), group))]
    exact = SufficiencyStatement(
        commitments,
        np.array([[-3, 4, -1], [9, 0, -2], [0, 0, 0]]),
        (0, 0, 30),
        10,
        7,
        run,
        slack=np.array([[1], [1], [-1]]),
        slack_widths=(6,),
        top_up_weights=(0, 0, 2),
    )
    for statement, slack in (
        (SufficiencyStatement(commitments, np.array([[-3, 4, -1], [9, 0, -2]]), (46, 20), 0, 20, run), ()),
        (SufficiencyStatement(commitments, np.array([[-3, 4, -1]]), (0,), 50, 3, run), ()),
        (exact, (46,)),
    ):
        proof = prove_sufficiency(statement, SufficiencyWitness(values, blindings, slack), group)
        records.append(record("sufficiency", statement, proof))
    encryption = EncryptionStatement(commitments, key, *encrypt(values, key_bits, 43), (5, 5, 5), 43, context)
    proof = prove_encryption(encryption, EncryptionWitness(values, blindings, opening), group)
    records.append(record("encryption", encryption, proof))
    flag = DecryptionStatement(key, *encrypt((1,), key_bits, 62, errors=(2**49,)), (1,), run)
    number = DecryptionStatement(
        key, *encrypt((9, 250), key_bits, 55), (9, 250), run, value_bits=8, scale_bits=55, noise_bits=50
    )
    records += [record("decryption", s, prove_decryption(s, opening, group)) for s in (flag, number)]
    breach = BreachStatement(commitments, np.array([[-3, 4, -1], [9, 0, -2]]), (45, 20), 12, run)
    records.append(record("breach", breach, prove_breach(breach, BreachWitness(values, blindings), group)))
    print(json.dumps({"generators": generators_hash(), "values": values, "records": records}, indent=1))


def chunks() -> None:
    """The smallest statement that takes more bits than stay in one piece: 342 rows of 48 bits."""
    group = load_group("arkworks")
    run = {"institution": "Harbour Fund", "submission": "1", "price sequence": "42", "role": "maintenance"}
    commitments, blindings = commit_values((5,), bytes(range(32)), run, group)
    weights = np.arange(-300, 42, dtype=np.int64).reshape(342, 1)
    statement = SufficiencyStatement(commitments, weights, (1500,) * 342, 2**20, 48, run)
    proof = prove_sufficiency(statement, SufficiencyWitness((5,), blindings), group)
    made = {"generators": generators_hash(), "values": (5,), "records": [record("sufficiency", statement, proof)]}
    print(json.dumps(made))


def transcript() -> None:
    """Empty messages, long ones, labels outside ASCII, challenges one after the other and between messages."""
    told: list[tuple[str, list[tuple[str, bytes]], list[tuple[str, bytes] | str]]] = [
        ("shortest", [("a", b"")], [("m", b""), "x"]),
        ("committed bits/example", [("limit", b"10"), ("run", b"7")], [("A", b"\x01" * 48), "rho", "y", "z"]),
        (
            "Größe",
            [("Menge €", bytes(range(256)) * 5)],
            [("T1", bytes(48)), ("T2", b"\xff" * 48), "x", ("mu", b"1"), "w"],
        ),
    ]
    vectors = []
    for protocol, statement, steps in told:
        speaker, said = Transcript(protocol, statement), []
        for step in steps:
            if isinstance(step, str):
                value = speaker.challenge(step)
                said.append({"challenge": step, "state": speaker._state.hex(), "value": f"{value:064x}"})
            else:
                speaker.absorb(*step)
                said.append({"absorb": step[0], "data": step[1].hex()})
        vectors.append(
            {"protocol": protocol, "statement": [(label, data.hex()) for label, data in statement], "steps": said}
        )
    print(json.dumps(vectors, indent=1, ensure_ascii=False))


MAKERS = {"chunks": chunks, "transcript": transcript}

if __name__ == "__main__":
    MAKERS.get(" ".join(sys.argv[1:]), main)()
