"""What the contract accepts, and what it says when any part of a statement or proof is another one."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from web3.exceptions import Web3Exception

from atomic_margin.contracts import local_chain
from atomic_margin.contracts.artifact import load_artifact
from atomic_margin.contracts.calldata import expected, statement_calldata
from atomic_margin.contracts.deploy import TRANSACTION_GAS, create, deploy_verifier
from atomic_margin.contracts.generator_blocks import creation_code, generator_blocks
from atomic_margin.contracts.points import PRIME
from atomic_margin.zk import SufficiencyStatement, load_group
from atomic_margin.zk.groups import ORDER

from .. import outside
from .cases import Case, Place, breach, proof_places, statement_places, sufficiency
from .chains import Verifier

KINDS = {"verifySufficiency": "SufficiencyProofInvalid()", "verifyBreach": "BreachProofInvalid()"}
NO_POINT = (5).to_bytes(48, "big") + (7).to_bytes(48, "big")


@pytest.fixture(params=["small_sufficiency", "small_breach"])
def case(request: pytest.FixtureRequest) -> Case:
    made = request.getfixturevalue(request.param)
    assert isinstance(made, Case)
    return made


def put(data: bytes, start: int, value: bytes) -> bytes:
    return data[:start] + value + data[start + len(value) :]


def flipped(data: bytes, position: int) -> bytes:
    return put(data, position, bytes([data[position] ^ 1]))


def off_subgroup() -> bytes:
    """The point with x = 4, which is on the curve."""
    y = pow(68, (PRIME + 1) // 4, PRIME)
    assert y * y % PRIME == 68
    return (4).to_bytes(48, "big") + y.to_bytes(48, "big")


def other_points(data: bytes, place: Place) -> Iterator[tuple[bytes, str | None]]:
    """Everything that may stand in a point's place, and the error; None is that of a proof that does not hold."""
    name = f"({'Commitment' if place.part == 'V' else place.part}, {place.index})"
    x, y = data[place.start : place.start + 48], data[place.start + 48 : place.start + 96]
    beyond = (int.from_bytes(x, "big") + PRIME).to_bytes(48, "big")
    yield x + (PRIME - int.from_bytes(y, "big")).to_bytes(48, "big"), None
    yield bytes(96), f"PointIsIdentity{name}"
    yield beyond + y, f"CoordinateNotCanonical{name}"
    yield x + PRIME.to_bytes(48, "big"), f"CoordinateNotCanonical{name}"
    yield x + b"\xff" * 48, f"CoordinateNotCanonical{name}"
    yield NO_POINT, "PointsRefused()"
    yield off_subgroup(), "PointsRefused()"


@pytest.mark.parametrize("make", [sufficiency, breach])
@pytest.mark.parametrize(("rows", "entries", "bits"), [(1, 1, 1), (2, 1, 48), (4, 12, 16), (5, 3, 32), (1, 101, 17)])
def test_honest_proofs_of_all_shapes_hold(
    on_anvil: Verifier, make: Callable[[int, int, int], Case], rows: int, entries: int, bits: int
) -> None:
    made = make(rows, entries, bits)
    assert on_anvil.says(made.function, *made.calldata) == expected(made.statement)


def test_honest_proofs_hold_in_another_evm(on_tester: Verifier, case: Case) -> None:
    assert on_tester.says(case.function, *case.calldata) == expected(case.statement)
    statement, proof = case.calldata
    assert on_tester.says(case.function, statement, flipped(proof, len(proof) - 1)) == KINDS[case.function]


def test_every_point_of_the_proof(on_anvil: Verifier, case: Case) -> None:
    statement, proof = case.calldata
    points = [place for place in proof_places(case.statement) if place.size == 96]
    for place in points:
        for data, error in other_points(proof, place):
            said = on_anvil.says(case.function, statement, put(proof, place.start, data))
            assert said == (error or KINDS[case.function]), place
    for first, second in itertools.pairwise(points):
        one, two = (proof[place.start : place.start + 96] for place in (first, second))
        swapped = put(put(proof, first.start, two), second.start, one)
        assert on_anvil.says(case.function, statement, swapped) == KINDS[case.function], first


def test_every_scalar_of_the_proof(on_anvil: Verifier, case: Case) -> None:
    statement, proof = case.calldata
    places = proof_places(case.statement)
    assert places[-1].start + places[-1].size == len(proof)
    for place in [place for place in places if place.size == 32]:
        value = int.from_bytes(proof[place.start : place.start + 32], "big")
        for other in ((value + 1) % ORDER, (ORDER - value) % ORDER):
            said = on_anvil.says(case.function, statement, put(proof, place.start, other.to_bytes(32, "big")))
            assert said == KINDS[case.function], place
        for other in (ORDER, 2**256 - 1):
            said = on_anvil.says(case.function, statement, put(proof, place.start, other.to_bytes(32, "big")))
            assert said == f"ScalarNotCanonical({place.part}, {place.index})"
        said = on_anvil.says(case.function, statement, put(proof, place.start, bytes(32)))
        assert said == (f"ShareIsZero({place.index})" if place.part == "Share" else KINDS[case.function])


def test_lengths_and_versions_of_the_proof(on_anvil: Verifier, case: Case) -> None:
    statement, proof = case.calldata
    for other in (b"", proof[:-1], proof + b"\x00", proof[:97]):
        said = on_anvil.says(case.function, statement, other)
        assert said == f"ProofLength({len(proof)}, {len(other)})"
    for place in [place for place in proof_places(case.statement) if place.part == "version"]:
        for version in (0, 1, 2, 4, 255):
            said = on_anvil.says(case.function, statement, put(proof, place.start, bytes([version])))
            assert said == f"ProofVersion({version})"


def test_every_cell_offset_and_context_byte_of_the_statement(on_anvil: Verifier, case: Case) -> None:
    statement, proof = case.calldata
    places = statement_places(case.statement)
    for place in [place for place in places.values() if place.part in "Ac"]:
        value = int.from_bytes(statement[place.start : place.start + 8], "big", signed=True)
        # Towards zero, so that the widest stay in range; and zero becomes one.
        other = value - 1 if value > 0 else value + 1
        changed = put(statement, place.start, other.to_bytes(8, "big", signed=True))
        assert on_anvil.says(case.function, changed, proof) == KINDS[case.function], place
        error = "WeightOutOfRange()" if place.part == "A" else f"OffsetOutOfRange({place.index})"
        for wide in (1 << 48, -(1 << 48), (1 << 63) - 1, -(1 << 63)):
            changed = put(statement, place.start, wide.to_bytes(8, "big", signed=True))
            assert on_anvil.says(case.function, changed, proof) == error, place
    last = list(places.values())[-1]
    for position in range(last.start + last.size, len(statement), 5):
        assert on_anvil.says(case.function, flipped(statement, position), proof) == KINDS[case.function]
    for other in (statement[:-1], statement + b" "):
        assert on_anvil.says(case.function, other, proof) == KINDS[case.function]


def test_every_commitment_of_the_statement(on_anvil: Verifier, case: Case) -> None:
    statement, proof = case.calldata
    places = [place for place in statement_places(case.statement).values() if place.part == "V"]
    for place in places:
        for data, error in other_points(statement, place):
            said = on_anvil.says(case.function, put(statement, place.start, data), proof)
            assert said == (error or KINDS[case.function]), place
    for first, second in itertools.pairwise(places):
        one, two = (statement[place.start : place.start + 96] for place in (first, second))
        swapped = put(put(statement, first.start, two), second.start, one)
        assert on_anvil.says(case.function, swapped, proof) == KINDS[case.function]


def test_sizes_of_the_statement(on_anvil: Verifier, case: Case) -> None:
    statement, proof = case.calldata
    places = statement_places(case.statement)
    rows, entries = case.statement.weights.shape

    def said(name: str, value: int) -> object:
        place = places[name]
        return on_anvil.says(case.function, put(statement, place.start, value.to_bytes(place.size, "big")), proof)

    most = (1024, 8192) if case.function == "verifySufficiency" else (256, 4096)
    assert said("bits", 0) == "BitsOutOfRange(0)"
    assert said("bits", 49) == "BitsOutOfRange(49)"
    assert said("rows", 0) == "RowsOutOfRange(0)"
    assert said("rows", most[0] + 1) == f"RowsOutOfRange({most[0] + 1})"
    assert said("entries", 0) == "EntriesOutOfRange(0)"
    assert said("entries", most[1] + 1) == f"EntriesOutOfRange({most[1] + 1})"
    least = 14 + 8 * (rows + 90) * (entries + 1) + 96 * entries + 1
    assert said("rows", rows + 90) == f"StatementTooShort({least}, {len(statement)})"
    assert said("top_up", 1 << 48) == f"TopUpOutOfRange({1 << 48})"
    shorter = places[f"V {entries - 1}"].start + 96
    assert on_anvil.says(case.function, b"", proof) == "StatementTooShort(14, 0)"
    assert on_anvil.says(case.function, statement[:13], proof) == "StatementTooShort(14, 13)"
    assert on_anvil.says(case.function, statement[:shorter], proof) == f"StatementTooShort({shorter + 1}, {shorter})"
    long = statement[:shorter] + bytes(65537)
    assert on_anvil.says(case.function, long, proof) == "ContextTooLong(65537)"


def test_bits_and_top_up_are_bound(on_anvil: Verifier, small_sufficiency: Case, small_breach: Case) -> None:
    """Where another number asks for a proof of the same length."""
    statement, proof = small_sufficiency.calldata
    said = on_anvil.says("verifySufficiency", put(statement, 9, b"\x08"), proof)
    assert said == "SufficiencyProofInvalid()"
    # What a row gains by the top-up its offset loses: the equations are the same, the statement is not.
    assert isinstance(small_sufficiency.statement, SufficiencyStatement)
    shifted = replace(
        small_sufficiency.statement, top_up=8, offsets=tuple(c - 1 for c in small_sufficiency.statement.offsets)
    )
    said = on_anvil.says("verifySufficiency", statement_calldata(shifted), proof)
    assert said == "SufficiencyProofInvalid()"
    statement, proof = small_breach.calldata
    assert on_anvil.says("verifyBreach", put(statement, 1, b"\x12"), proof) == "BreachProofInvalid()"
    assert on_anvil.says("verifyBreach", put(statement, 9, b"\x01"), proof) == "TopUpOutOfRange(1)"


def test_statements_of_too_many_bits_or_cells(on_anvil: Verifier) -> None:
    def header(bits: int, rows: int, entries: int) -> bytes:
        sizes = bits.to_bytes(2, "big") + bytes(8) + rows.to_bytes(2, "big") + entries.to_bytes(2, "big")
        return sizes + bytes(8 * rows * (entries + 1) + 96 * entries) + b"{}"

    assert on_anvil.says("verifySufficiency", header(33, 32, 1), b"") == "TooManyBits(1056)"
    assert str(on_anvil.says("verifySufficiency", header(32, 32, 1), b"")).startswith("ProofLength(")
    sizes = bytes([0, 1]) + bytes(8) + (1024).to_bytes(2, "big") + (1025).to_bytes(2, "big")
    assert on_anvil.says("verifySufficiency", sizes, b"") == f"CellsOutOfRange({1024 * 1025})"


def test_proofs_of_another_kind_or_statement(on_anvil: Verifier, small_sufficiency: Case, small_breach: Case) -> None:
    for one, other in ((small_sufficiency, small_breach), (small_breach, small_sufficiency)):
        said = on_anvil.says(one.function, one.calldata[0], other.calldata[1])
        assert str(said).startswith("ProofLength")
        said = on_anvil.says(one.function, *other.calldata)
        assert str(said).startswith(("ProofLength", "TopUpOutOfRange"))
    again = sufficiency(rows=3, entries=4, bits=11, seed=1, top_up=7)
    said = on_anvil.says("verifySufficiency", small_sufficiency.calldata[0], again.calldata[1])
    assert said == "SufficiencyProofInvalid()"


def test_a_chain_without_the_precompiles_is_refused(case: Case) -> None:
    if not local_chain.ANVIL.exists():
        outside.absent("anvil, by `make contracts`")
    with local_chain.anvil(hardfork="cancun") as web3:
        verifier = Verifier(web3, deploy_verifier(web3, web3.eth.accounts[0]))
        assert verifier.says(case.function, *case.calldata) == "PrecompileMissing()"


def test_other_generators_are_refused_at_deployment(on_anvil: Verifier) -> None:
    web3, sender = on_anvil.web3, on_anvil.web3.eth.accounts[0]
    blocks = generator_blocks(group=load_group())
    own = [on_anvil.contract.functions.generatorBlocks(index).call() for index in range(len(blocks))]
    changed = create(web3, sender, creation_code(flipped(blocks[-1], len(blocks[-1]) - 1)))
    factory = web3.eth.contract(abi=on_anvil.contract.abi, bytecode=load_artifact("MarginVerifier").bytecode)
    # The same points in a contract that does something when it is called.
    live = [create(web3, sender, creation_code(code)) for code in (b"\x33" + blocks[-1][1:], blocks[-1] + b"\xff")]
    others = [[*own[:-1], last] for last in (changed, sender, *live)]
    for given in (own[:-1], [], [*own, own[0]], [own[1], own[0], *own[2:]], *others):
        data = factory.constructor(given).data_in_transaction
        with pytest.raises(Web3Exception) as caught:
            web3.eth.call({"from": sender, "data": data, "gas": TRANSACTION_GAS})
        assert on_anvil.named(caught.value).startswith("WrongGenerators(")


def test_nothing_is_accepted_for_lack_of_gas(on_anvil: Verifier, case: Case) -> None:
    """Every call of a precompile fails at some amount: none of them may look like a result."""
    statement, proof = case.calldata
    needed = on_anvil.gas(case.function, statement, proof)
    call = on_anvil.contract.functions[case.function](statement, proof)
    for percent in range(4, 100, 3):
        with pytest.raises(Web3Exception):
            call.call({"gas": needed * percent // 100})
