"""Slices: of every proof they sum to what Python multiplies, and what is told of whole proofs is told of slices."""

from collections.abc import Callable, Iterator
from dataclasses import astuple, replace
from typing import Any

import pytest
from eth_tester.exceptions import TransactionFailed
from web3 import Web3
from web3.exceptions import Web3Exception

from atomic_margin.contracts import local_chain
from atomic_margin.contracts.artifact import load_artifact
from atomic_margin.contracts.calldata import PARTIAL_BITS, Checked, expected
from atomic_margin.contracts.deploy import TRANSACTION_GAS, deploy_partial_verifier, deploy_verifier
from atomic_margin.contracts.generator_blocks import generator_points
from atomic_margin.contracts.parts import MAX_SLICES, point_count, proven
from atomic_margin.contracts.points import uncompressed
from atomic_margin.zk import SufficiencyStatement, load_group
from atomic_margin.zk.bits.parameters import BitParameters
from atomic_margin.zk.errors import ProofError
from atomic_margin.zk.verify.sufficiency import verify_sufficiency

from .. import outside
from . import test_verifier as told
from .cases import Case, proof_places, statement_places, sufficiency
from .chains import Verifier
from .test_equation import by_python, changed_scalar
from .test_verifier import KINDS, flipped, put

SUMS = {"verifySufficiency": "sumSufficiency", "verifyBreach": "sumBreach"}
IDENTITY = bytes(128)


class Sliced(Verifier):
    """`PartialVerifier`, which says of proofs what `MarginVerifier` says, all slices of them added up by Python."""

    def __init__(self, web3: Web3, whole: Verifier, slices: int = 1) -> None:
        self.whole = whole
        self.slices = slices
        contract = deploy_partial_verifier(web3, web3.eth.accounts[0], whole.contract)
        errors = [entry for entry in load_artifact("ChunkedSufficiency").abi if entry["type"] == "error"]
        abi = [*contract.abi, *(entry for entry in errors if entry not in contract.abi)]
        super().__init__(web3, web3.eth.contract(address=contract.address, abi=abi))

    def sum(self, function: str, statement: bytes, proof: bytes, slice_: int, slices: int) -> Any:
        """What it returns of one slice: what the proof is about, and the point as precompiles have it; or the error."""
        call = self.contract.functions[SUMS[function]](statement, proof, slice_, slices)
        try:
            checked, point = call.call({"gas": TRANSACTION_GAS})
        except (Web3Exception, TransactionFailed) as error:
            return self.named(error)
        checked = checked if isinstance(checked, (list, tuple)) else astuple(checked)
        point = point if isinstance(point, (list, tuple)) else astuple(point)
        return Checked(*checked), b"".join(word.to_bytes(32, "big") for word in point)

    def says(self, function: str, statement: bytes, proof: bytes) -> Checked | str:
        sums = [self.sum(function, statement, proof, number, self.slices) for number in range(self.slices)]
        if isinstance(sums[0], str):
            return sums[0]
        assert len({checked for checked, _ in sums}) == 1
        total = sums[0][1] if self.slices == 1 else added(point for _, point in sums)
        return sums[0][0] if total == IDENTITY else KINDS[function]


def added(points: Iterator[bytes]) -> bytes:
    group = load_group()
    total = group.add_up(decoded(point) for point in points)
    return IDENTITY if total == group.identity() else wide(uncompressed(group.encode_point(total)))


def wide(point: bytes) -> bytes:
    """96 bytes as precompiles have them."""
    return bytes(16) + point[:48] + bytes(16) + point[48:]


def decoded(point: bytes) -> Any:
    group = load_group()
    if point == IDENTITY:
        return group.identity()
    x, y = point[16:64], int.from_bytes(point[80:], "big")
    larger = 0x20 if y > told.PRIME // 2 else 0
    return group.decode_point(bytes([x[0] | 0x80 | larger]) + x[1:])


@pytest.fixture(scope="module")
def whole(on_anvil: Verifier) -> Sliced:
    """All of a proof in one slice."""
    return Sliced(on_anvil.web3, on_anvil)


@pytest.fixture(scope="module")
def sliced(on_anvil: Verifier) -> Sliced:
    """Proofs in five slices."""
    return Sliced(on_anvil.web3, on_anvil, slices=5)


@pytest.fixture(scope="module")
def small_chunked() -> Case:
    """In chunks, with bits that only pad: two rounds, 60 bits a chunk."""
    return sufficiency(rows=25, entries=3, bits=47, top_up=7)


CASES = ("small_sufficiency", "small_breach", "small_chunked")


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    made = request.getfixturevalue(request.param)
    assert isinstance(made, Case)
    return made


def test_honest_proofs_hold_and_others_do_not(whole: Sliced, sliced: Sliced, case: Case) -> None:
    statement, proof = case.calldata
    for verifier in (whole, sliced):
        assert verifier.says(case.function, statement, proof) == expected(case.statement, most_bits=PARTIAL_BITS)
        said = verifier.says(case.function, statement, flipped(proof, len(proof) - 1))
        assert said == KINDS[case.function]
        said = verifier.says(case.function, flipped(statement, len(statement) - 3), proof)
        assert said == KINDS[case.function]


def in_order(case: Case) -> list[bytes]:
    """The points in the order in which the contract multiplies them."""
    bits = case.statement.bits * (case.statement.rows if isinstance(case.statement, SufficiencyStatement) else 1)
    statement, proof = case.calldata
    points = generator_points(BitParameters.for_bits(bits).length)
    places = [place for place in statement_places(case.statement).values() if place.part == "V"]
    points += [statement[place.start : place.start + 96] for place in places]
    return points + [
        proof[place.start : place.start + 96] for place in proof_places(case.statement) if place.size == 96
    ]


def test_every_slice_is_what_python_multiplies(whole: Sliced, case: Case) -> None:
    """Of proofs that do not hold, so that every term counts."""
    group = load_group()
    tail = 96 * len([place for place in proof_places(case.statement) if place.part == "L"])
    tails = 32 * len([place for place in proof_places(case.statement) if place.part in ("Left", "Right")])
    # The last scalar of the tails, and t_hat before L and R.
    for end in (0, tails + tail + 64):
        broken = Case(case.statement, changed_scalar(case.proof, end))
        terms, points = by_python(broken), in_order(broken)
        assert len(points) == len(terms) == point_count(case.statement) == proven(broken.statement, broken.proof).points
        for slices in (1, 7, MAX_SLICES):
            for number in range(slices) if slices < MAX_SLICES else (0, 13, MAX_SLICES - 1):
                places = range(len(points) * number // slices, len(points) * (number + 1) // slices)
                wanted = group.msm(
                    [decoded(wide(points[place])) for place in places],
                    [group.scalar(terms[points[place]]) for place in places],
                )
                said = whole.sum(case.function, *broken.calldata, number, slices)
                assert decoded(said[1]) == wanted, (end, number, slices)
                assert said[0] == expected(case.statement, most_bits=PARTIAL_BITS)


def test_there_is_no_other_slice(whole: Sliced, case: Case) -> None:
    for numbers in ((1, 1), (0, 0), (5, 5), (0, MAX_SLICES + 1), (2**256 - 1, 2), (2**255, 2**256 - 1)):
        said = whole.sum(case.function, *case.calldata, *numbers)
        assert said == f"SliceOutOfRange({numbers[0]}, {numbers[1]})"
    # More slices than there are points leave some of them empty.
    small = sufficiency(rows=1, entries=1, bits=1)
    assert point_count(small.statement) == 9
    sums = [whole.sum(small.function, *small.calldata, number, 30) for number in range(30)]
    assert sums[0][1] == IDENTITY
    assert added(point for _, point in sums) == IDENTITY


@pytest.mark.parametrize("size", [(27, 1, 38), (64, 2, 17), (33, 4, 40)], ids=str)
def test_chunks_of_other_sizes_hold(whole: Sliced, size: tuple[int, int, int]) -> None:
    rows, entries, bits = size
    made = sufficiency(rows, entries, bits, top_up=3)
    assert whole.says(made.function, *made.calldata) == expected(made.statement, most_bits=PARTIAL_BITS)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(512, 2, 40), (430, 1, 47)], ids=str)
def test_the_longest_chunks_hold(sliced: Sliced, size: tuple[int, int, int]) -> None:
    """They have more points than fit a transaction."""
    test_chunks_of_other_sizes_hold(sliced, size)


def test_bits_that_are_not_in_chunks(whole: Sliced, small_chunked: Case) -> None:
    """The first 1,024 bits are in one piece; what takes chunks takes no less, and not more than generators do."""
    statement, proof = small_chunked.calldata
    places = statement_places(small_chunked.statement)
    fewer = put(statement, places["bits"].start, (40).to_bytes(2, "big"))
    assert str(whole.says(small_chunked.function, fewer, proof)).startswith("ProofLength(")
    chunked = replace_contract(whole, "ChunkedSufficiency")
    assert chunked.sum(small_chunked.function, fewer, proof, 0, 1) == "TooFewBits(1000)"
    header = (40).to_bytes(2, "big") + bytes(8) + (513).to_bytes(2, "big") + (1).to_bytes(2, "big")
    long = header + bytes(8 * 513 * 2 + 96) + b"{}"
    assert whole.says(small_chunked.function, long, proof) == "TooManyBits(20520)"
    assert whole.says(small_chunked.function, b"", proof) == "StatementTooShort(14, 0)"
    assert whole.says(small_chunked.function, statement[:13], proof) == "StatementTooShort(14, 13)"


def replace_contract(verifier: Sliced, name: str) -> Sliced:
    other = object.__new__(Sliced)
    other.__dict__.update(verifier.__dict__)
    address = verifier.contract.functions.chunked().call()
    other.contract = verifier.web3.eth.contract(address=address, abi=load_artifact(name).abi)
    return other


def test_versions_and_lengths_of_chunks(whole: Sliced, small_chunked: Case) -> None:
    statement, proof = small_chunked.calldata
    for other in (b"", proof[:-1], proof + b"\x00"):
        said = whole.says(small_chunked.function, statement, other)
        assert said == f"ProofLength({len(proof)}, {len(other)})"
    for version in (0, 1, 2, 3, 255):
        said = whole.says(small_chunked.function, statement, put(proof, 0, bytes([version])))
        assert said == f"ProofVersion({version})"


@pytest.mark.slow
@pytest.mark.parametrize(
    "told_of_whole_proofs",
    [
        told.test_every_point_of_the_proof,
        told.test_every_scalar_of_the_proof,
        told.test_every_cell_offset_and_context_byte_of_the_statement,
        told.test_every_commitment_of_the_statement,
        told.test_sizes_of_the_statement,
    ],
)
def test_what_is_told_of_whole_proofs(
    whole: Sliced, case: Case, told_of_whole_proofs: Callable[[Verifier, Case], None]
) -> None:
    told_of_whole_proofs(whole, case)


def test_bits_and_top_up_of_chunks_are_bound(whole: Sliced, small_chunked: Case) -> None:
    statement = small_chunked.statement
    assert isinstance(statement, SufficiencyStatement)
    shifted = replace(statement, top_up=8, offsets=tuple(c - 1 for c in statement.offsets))
    with pytest.raises(ProofError):
        verify_sufficiency(shifted, small_chunked.proof)
    said = whole.says(small_chunked.function, *replace(small_chunked, statement=shifted).calldata)
    assert said == KINDS[small_chunked.function]


def test_a_chain_without_the_precompiles_is_refused(
    small_sufficiency: Case, small_breach: Case, small_chunked: Case
) -> None:
    if not local_chain.ANVIL.exists():
        outside.absent("anvil, by `make contracts`")
    with local_chain.anvil(hardfork="cancun") as web3:
        sliced = Sliced(web3, Verifier(web3, deploy_verifier(web3, web3.eth.accounts[0])), slices=2)
        for case in (small_sufficiency, small_breach, small_chunked):
            assert sliced.says(case.function, *case.calldata) == "PrecompileMissing()"
