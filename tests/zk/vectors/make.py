"""How the frozen proofs were made, those in one piece and those in chunks, and the vectors of transcript and sharing.

    python -m tests.zk.vectors.make > tests/zk/vectors/proofs.json
    python -m tests.zk.vectors.make chunks > tests/zk/vectors/chunks.json
    python -m tests.zk.vectors.make transcript > tests/zk/vectors/transcript.json
    python -m tests.zk.vectors.make sharing > tests/zk/vectors/sharing.json

They are frozen. Making one again (with fresh nonces) is right only when the version of its proof format changes.
"""

import json
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from tests.zk.ciphertexts import encrypt, random_key

from atomic_margin.zk import (
    BreachStatement,
    DecryptionStatement,
    EncryptionStatement,
    LackStatement,
    PortfolioStatement,
    SufficiencyStatement,
    generators_hash,
    load_group,
)
from atomic_margin.zk.groups import ORDER
from atomic_margin.zk.prove.breach import prove_breach
from atomic_margin.zk.prove.commit import commit_values
from atomic_margin.zk.prove.decryption import prove_decryption
from atomic_margin.zk.prove.encryption import prove_encryption
from atomic_margin.zk.prove.key import commit_key
from atomic_margin.zk.prove.lack import prove_lack
from atomic_margin.zk.prove.portfolio import prove_portfolio
from atomic_margin.zk.prove.sufficiency import prove_sufficiency
from atomic_margin.zk.prove.witness import BreachWitness, EncryptionWitness, PortfolioWitness, SufficiencyWitness
from atomic_margin.zk.sharing.deal import SharingWitness, deal_shares
from atomic_margin.zk.sharing.messages import Deal, Shares
from atomic_margin.zk.sharing.open_row import RowOpening, share_row
from atomic_margin.zk.sharing.pass_on import add_up, pass_on
from atomic_margin.zk.sharing.resharing import Resharing
from atomic_margin.zk.sharing.rows import Row
from atomic_margin.zk.sharing.statement import Custodian, SharingStatement
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
    lack = LackStatement(commitments, np.array([-3, 4, -1]), 20, 30, 10, run)
    row = RowOpening(-26, sum(w * gamma for w, gamma in zip((-3, 4, -1), blindings, strict=True)) % ORDER)
    records.append(record("lack", lack, prove_lack(lack, row, group)))
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


def sharing() -> None:
    """Deals of two of three and of three of four, a row of the second, and the first passed on."""
    group = load_group("arkworks")

    def told(deal: Deal, shares: Sequence[Shares]) -> dict[str, Any]:
        statement, (transcript, digest) = deal.statement, deal.transcript()
        transcript.absorb("shares", shares[0].to_bytes())
        return {
            "context": statement.context,
            "threshold": statement.threshold,
            "custodians": [{"point": one.point, "identity": one.identity.hex()} for one in statement.custodians],
            "commitments": [point.hex() for point in statement.commitments],
            "binding": [[label, data.hex()] for label, data in statement.binding()],
            "deal": deal.to_bytes().hex(),
            "hash": digest.hex(),
            "shares": [one.to_bytes().hex() for one in shares],
            "omega of the first shares": f"{transcript.challenge('omega'):064x}",
        }

    records = []
    for threshold, points, values in ((2, (1, 2, 3), (5, 0, 31)), (3, (1, 2, 7, 65_535), (2**32 - 1, 4))):
        context = {"institution": "Harbour Fund", "submission": str(threshold)}
        commitments, blindings = commit_values(values, bytes(range(32)), context, group)
        custodians = tuple(Custodian(point, point.to_bytes(2, "big") * 16) for point in points)
        statement = SharingStatement(commitments, threshold, custodians, context)
        deal, shares = deal_shares(statement, SharingWitness(values, blindings), group)
        opened = {"values": values, "blindings": [f"{blinding:064x}" for blinding in blindings]}
        records.append((deal, shares, {**told(deal, shares), **opened}))
    deal, shares, record = records[1]
    row = Row(deal, (-3, 2**40), 17)
    record["row"] = {
        "weights": row.weights,
        "offset": row.offset,
        "points": [group.encode_point(point).hex() for point in row.points(group)],
        "shares": [share_row(row, one).to_bytes().hex() for one in shares],
    }
    deal, shares, record = records[0]
    resharing = Resharing(deal, (1, 3), 2, (Custodian(4, b"\x04" * 32), Custodian(5, b"\x05" * 32)), {"epoch": "2"})
    dealt = {one.custodian: pass_on(resharing, one, group) for one in shares if one.custodian in resharing.dealers}
    deals = {dealer: made for dealer, (made, _) in dealt.items()}
    received = [{dealer: parts[place] for dealer, (_, parts) in dealt.items()} for place in (0, 1)]
    added = [add_up(resharing, deals, parts, point, group) for parts, point in zip(received, (4, 5), strict=True)]
    record["passed on"] = {
        "dealers": resharing.dealers,
        "context": resharing.context,
        "deals": [told(*dealt[dealer]) for dealer in resharing.dealers],
        "result": told(added[0][0], [one for _, one in added]),
    }
    print(json.dumps({"generators": generators_hash(), "records": [record for *_, record in records]}, indent=1))


MAKERS = {"chunks": chunks, "sharing": sharing, "transcript": transcript}

if __name__ == "__main__":
    MAKERS.get(" ".join(sys.argv[1:]), main)()
