"""Settlements in parts, on real proofs: all parts of this run's two proofs settle it, and nothing less does."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from eth_abi import encode
from eth_utils import keccak

from atomic_margin.contracts import local_chain
from atomic_margin.contracts.errors import PartsError
from atomic_margin.contracts.parts import Claim, Part, Plan
from atomic_margin.contracts.recording import digest

from ... import outside
from .answers import prove
from .chain import Refusal, new_chain
from .parted import Anvil, Cut, Parted, cut, missing, new_vault, parted_world
from .world import GUARDIAN, HOLDER, LOG, OPERATOR, OTHER, PEOPLE, RUN, RUN_SECONDS, STRANGER, settings, world
from .world import digest as named

# A minute of a newcomer's wait; CI runs them.
pytestmark = pytest.mark.long

TOP_UP = 100
PLAN = Plan(2, 3)
NEXT = named("next run")


@pytest.fixture(scope="module")
def deployed() -> Iterator[Parted]:
    if not local_chain.ANVIL.exists():
        outside.absent("anvil, by `make contracts`")
    with local_chain.anvil() as w3:
        yield parted_world(Anvil(new_chain(PEOPLE, w3).w3))


@pytest.fixture(scope="module")
def answer() -> Cut:
    return cut(prove(TOP_UP), PLAN)


@pytest.fixture(scope="module")
def again() -> Cut:
    """The same statements, proven once more."""
    return cut(prove(TOP_UP), PLAN)


@pytest.fixture
def parted(deployed: Parted, answer: Cut) -> Iterator[Parted]:
    """The holder's run on its real book, with 1,000 free and 500 posted."""
    before = deployed.chain.machine.take_snapshot()
    deployed.enrol(1000, 500, book=answer.answered.breach.commitments)
    deployed.open()
    yield deployed
    deployed.chain.machine.revert_to_snapshot(before)


@pytest.fixture
def recorded(parted: Parted, answer: Cut) -> Parted:
    """The same with all parts recorded, by a stranger."""
    parted.record(answer)
    return parted


@pytest.mark.long
def test_parts_settle_in_another_evm(answer: Cut) -> None:
    vault = parted_world(new_chain(PEOPLE))
    vault.enrol(1000, 500, book=answer.answered.breach.commitments)
    vault.open()
    assert vault.settles_nothing(answer) == missing("Breach", 0, 2)
    assert vault.recorder(answer).record() == 3
    vault.send(vault.settling_in_parts(answer))
    assert vault.balances() == (1000 - 2 * TOP_UP, 500 + 2 * TOP_UP)


def test_parts_move_nothing_and_the_last_transaction_settles(parted: Parted, answer: Cut) -> None:
    before = parted.account()
    receipts = parted.record(answer)
    assert len(receipts) == 3
    digests = digest(answer.answer.breach), digest(answer.answer.top_up)
    name = parted.vault.functions.answerOf(RUN, *digests).call()
    assert [parted.events(receipt) for receipt in receipts] == [
        [("PartRecorded", {"run": RUN, "answer": name, "claim": claim, "slice": number, "slices": slices})]
        for claim, number, slices in ((0, 0, 2), (1, 0, 3), (1, 1, 3))
    ]
    assert (parted.account(), parted.run_state()) == (before, "Valuation")
    receipt = parted.send(parted.settling_in_parts(answer))
    same = {"run": RUN, "account": HOLDER.address, "log": LOG}
    assert parted.events(receipt) == [
        ("SettlementDetermined", same | {"topUp": TOP_UP, "amount": 2 * TOP_UP}),
        ("SettlementTransferred", same | {"amount": 2 * TOP_UP}),
    ]
    assert parted.balances() == (1000 - 2 * TOP_UP, 500 + 2 * TOP_UP)
    # Once; and what was recorded is cleared.
    assert parted.settles_nothing(answer) == ("RunNotOpen", (RUN,))
    for claim, slices in ((0, 2), (1, 3)):
        assert parted.vault.functions.recordedParts(RUN, *digests, claim, slices).call() == 0


def test_one_slice_of_each_is_a_settlement_at_once(parted: Parted, answer: Cut) -> None:
    parted.send(parted.settling_in_parts(answer.sliced(1, 1)))
    assert parted.balances() == (1000 - 2 * TOP_UP, 500 + 2 * TOP_UP)


def test_the_vault_settles_whole_proofs_as_any_vault(parted: Parted, answer: Cut) -> None:
    message = parted.matrices(**answer.answered.attested)
    parted.send(parted.settling(answer.answered.proofs, message))
    assert parted.balances() == (1000 - 2 * TOP_UP, 500 + 2 * TOP_UP)


def test_an_account_that_cannot_meet_its_call_is_liquidated(recorded: Parted, answer: Cut) -> None:
    recorded.send(recorded.settling_in_parts(answer, rate=11 * 10**18))
    assert (recorded.balances(), recorded.state()) == ((0, 0), "Terminated")


@pytest.mark.parametrize("left_out", list(PLAN.parts()), ids=str)
def test_a_part_that_is_missing_settles_nothing(parted: Parted, answer: Cut, left_out: Part) -> None:
    parted.record(answer, [part for part in PLAN.parts() if part != left_out])
    claim = "Breach" if left_out.claim is Claim.BREACH else "TopUp"
    assert parted.settles_nothing(answer) == missing(claim, left_out.slice, left_out.slices)


@pytest.mark.parametrize(
    ("slices", "refusal"),
    [
        ((2, 2), missing("TopUp", 0, 2)),
        ((2, 4), missing("TopUp", 0, 4)),
        ((3, 3), missing("Breach", 0, 3)),
        ((0, 3), Refusal("SliceOutOfRange", (0, 0))),
        ((2, 0), Refusal("SliceOutOfRange", (0, 0))),
        ((65, 3), Refusal("SliceOutOfRange", (64, 65))),
        ((2, 2**256 - 1), Refusal("SliceOutOfRange", (2**256 - 2, 2**256 - 1))),
    ],
)
def test_another_number_of_slices_settles_nothing(
    recorded: Parted, answer: Cut, slices: tuple[int, int], refusal: Refusal
) -> None:
    assert recorded.settles_nothing(answer.sliced(*slices)) == refusal


def test_slices_that_overlap_or_leave_a_gap_settle_nothing(parted: Parted, answer: Cut) -> None:
    """Slice 0 of 2 overlaps slices 0 and 1 of 3 and has less than both: it stands in for neither."""
    parted.record(answer, [Part(Claim.BREACH, 0, 2), Part(Claim.TOP_UP, 0, 2), Part(Claim.TOP_UP, 1, 3)])
    assert parted.settles_nothing(answer) == missing("TopUp", 0, 3)
    assert parted.settles_nothing(answer.sliced(2, 4)) == missing("TopUp", 0, 4)
    # What is whole settles, whatever else was recorded.
    parted.send(parted.settling_in_parts(answer.sliced(2, 2)))


@pytest.mark.parametrize(
    "numbers", [(1, 2), (2, 2), (0, 1), (0, 0), (0, 65), (2**256 - 1, 64), (2**256 - 1, 2**256 - 1)]
)
def test_only_slices_that_can_count_are_recorded(parted: Parted, answer: Cut, numbers: tuple[int, int]) -> None:
    recorder = parted.recorder(answer)
    for claim in Claim:
        refusal = parted.refused(recorder.recording(Part(claim, *numbers)))
        assert refusal == ("SliceOutOfRange", numbers)


def test_a_claim_s_parts_are_not_the_other_s(parted: Parted, answer: Cut) -> None:
    """Both proofs in three slices, and only those of the top-up recorded."""
    three = answer.sliced(3, 3)
    parted.record(three, [Part(Claim.TOP_UP, number, 3) for number in range(2)])
    assert parted.settles_nothing(three) == missing("Breach", 0, 3)
    recorder = parted.recorder(three)
    breach, top_up = answer.answer.breach, answer.answer.top_up
    swapped = parted.vault.functions.recordBreach(RUN, top_up.statement, top_up.proof, digest(breach), 0, 3)
    assert parted.refused(swapped).name in ("ProofLength", "TopUpOutOfRange")
    swapped = parted.vault.functions.recordTopUp(RUN, digest(top_up), breach.statement, breach.proof, 0, 3)
    assert parted.refused(swapped).name == "ProofLength"
    assert len(recorder.missing()) == 2


# Stale, and of something else


@pytest.mark.parametrize("ended", ["covered", "lapsed"])
def test_parts_of_a_run_that_ended_settle_nothing(recorded: Parted, answer: Cut, ended: str) -> None:
    if ended == "covered":
        recorded.send(recorded.vault.functions.endCovered(RUN), OPERATOR)
    else:
        recorded.chain.travel(RUN_SECONDS + 1)
        assert recorded.settles_nothing(answer).name == "RunOver"
        recorded.send(recorded.vault.functions.lapse(RUN))
    assert recorded.settles_nothing(answer) == ("RunNotOpen", (RUN,))
    part = recorded.recorder(answer).recording(Part(Claim.TOP_UP, 0, 2))
    assert recorded.refused(part) == ("RunNotOpen", (RUN,))
    # The next run of the same account, book and balances, even if its signers attest the same contexts.
    recorded.open(NEXT, tick=2)
    assert recorded.settles_nothing(answer, run=NEXT, tick=2) == missing("Breach", 0, 2)


def test_parts_are_recorded_while_their_run_is_open_alone(parted: Parted, answer: Cut) -> None:
    recorder = parted.recorder(answer, NEXT)
    for part in (Part(Claim.BREACH, 0, 2), Part(Claim.TOP_UP, 0, 3)):
        assert parted.refused(recorder.recording(part)) == ("RunNotOpen", (NEXT,))
    parted.chain.travel(RUN_SECONDS + 1)
    for part in (Part(Claim.BREACH, 0, 2), Part(Claim.TOP_UP, 0, 3)):
        assert parted.refused(parted.recorder(answer).recording(part)).name == "RunOver"


def test_parts_of_another_run_and_account_settle_nothing(parted: Parted, answer: Cut) -> None:
    parted.enrol(1000, 500, OTHER, named("other book"))
    parted.open(NEXT, OTHER)
    parted.record(answer, run=NEXT)
    assert parted.settles_nothing(answer) == missing("Breach", 0, 2)
    # Nor does the other account settle by them: they are not about its book.
    refusal = parted.settles_nothing(answer, run=NEXT, account=OTHER.address)
    assert refusal.name == "WrongCommitments"


def test_parts_of_another_vault_settle_nothing(recorded: Parted, answer: Cut) -> None:
    vault = new_vault(recorded.chain, recorded, recorded.partial)
    other = replace(recorded, vault=vault)
    other.enrol(1000, 500, book=answer.answered.breach.commitments)
    other.open()
    assert other.settles_nothing(answer) == missing("Breach", 0, 2)
    assert other.settles_nothing(answer, vault=recorded.vault.address).name == "ForeignVault"


def test_parts_are_recorded_under_chain_vault_run_and_both_proofs(recorded: Parted, answer: Cut) -> None:
    digests = digest(answer.answer.breach), digest(answer.answer.top_up)
    book = answer.answered.breach.commitments
    fields = [recorded.chain.id, recorded.vault.address, RUN, HOLDER.address, 1, book, *digests]
    types = ["uint256", "address", "bytes32", "address", "uint64", "bytes32", "bytes32", "bytes32"]
    assert recorded.vault.functions.answerOf(RUN, *digests).call() == keccak(encode(types, fields))
    for proven, name in zip((answer.answer.breach, answer.answer.top_up), digests, strict=True):
        assert recorded.vault.functions.digestOf(proven.statement, proven.proof).call() == name
    assert recorded.settles_nothing(answer, chain=recorded.chain.id + 1).name == "ForeignChain"


@pytest.mark.parametrize("which", ["breach", "top_up"])
def test_parts_of_another_proof_settle_nothing(recorded: Parted, answer: Cut, again: Cut, which: str) -> None:
    """Of the same statement, and as genuine: a part counts for the two proofs that it was recorded for."""
    other = answer.with_proofs(**{f"{which}_proof": getattr(again.answer, which).proof})
    assert recorded.settles_nothing(other) == missing("Breach", 0, 2)
    # Its own parts beside those of the one before: they are recorded apart.
    assert recorded.recorder(other).record() == 3
    recorded.send(recorded.settling_in_parts(other))


@pytest.mark.parametrize("which", ["breach", "top_up"])
def test_a_tampered_statement_in_the_last_step_settles_nothing(recorded: Parted, answer: Cut, which: str) -> None:
    claim = "Breach" if which == "breach" else "TopUp"
    data = getattr(answer.answer, which).statement
    # Every kind of field: bits, rows, A, c, V, context.
    for place in (1, 14, 14 + 8 * 6 + 7, len(data) - 1):
        changed = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        tampered = answer.with_proofs(**{f"{which}_statement": changed})
        assert recorded.settles_nothing(tampered).name in ("PartMissing", "WeightOutOfRange", "ProofLength")
        refusal = recorded.settles_nothing(tampered.sliced(1, 1))
        assert refusal.name in ("ProofInvalid", "WeightOutOfRange", "ProofLength", "PartMissing"), place
    changed = data[:-1] + bytes([data[-1] ^ 1])
    refusal = recorded.settles_nothing(answer.with_proofs(**{f"{which}_statement": changed}).sliced(1, 1))
    assert refusal == ("ProofInvalid", (("Breach", "TopUp").index(claim),))


@pytest.mark.parametrize("which", ["breach", "top_up"])
def test_all_parts_of_a_proof_that_does_not_hold_settle_nothing(parted: Parted, answer: Cut, which: str) -> None:
    proof = getattr(answer.answer, which).proof
    broken = answer.with_proofs(**{f"{which}_proof": proof[:-1] + bytes([proof[-1] ^ 1])})
    parted.record(broken)
    assert parted.settles_nothing(broken) == ("ProofInvalid", (0 if which == "breach" else 1,))
    # Parts of the genuine one are not parts of this one, and do not mend it.
    parted.record(answer)
    assert parted.settles_nothing(broken).name == "ProofInvalid"
    parted.send(parted.settling_in_parts(answer))


def test_what_is_attested_is_compared_as_in_any_settlement(recorded: Parted, answer: Cut) -> None:
    zero = bytes(32)
    for field, error in (
        ("breachMatrix", "WrongMatrix"),
        ("topUpMatrix", "WrongMatrix"),
        ("breachContext", "WrongContext"),
        ("topUpContext", "WrongContext"),
        ("commitments", "WrongCommitments"),
    ):
        assert recorded.settles_nothing(answer, **{field: zero}).name == error, field
    assert recorded.settles_nothing(answer, tick=2).name == "WrongTick"
    assert recorded.settles_nothing(answer, free=999).name == "WrongBalances"
    message = recorded.matrices(**answer.answered.attested)
    signed = recorded.sign("MatrixAttestation", message)[:2]
    call = recorded.recorder(answer).settling(message, signed)
    assert recorded.refused(call) == ("TooFewSignatures", (2, 3))


def test_nothing_is_recorded_or_settled_while_the_vault_is_paused(recorded: Parted, answer: Cut) -> None:
    recorded.send(recorded.vault.functions.pause(), GUARDIAN)
    assert recorded.settles_nothing(answer) == ("IsPaused", ())
    for part in (Part(Claim.BREACH, 0, 3), Part(Claim.TOP_UP, 0, 2)):
        assert recorded.refused(recorded.recorder(answer).recording(part)) == ("IsPaused", ())


def test_a_parts_vault_wants_a_partial_verifier(parted: Parted) -> None:
    about = settings(parted.token.address, parted.oracle.address)
    refusal = parted.chain.refused_deployment("PartsVault", about, parted.verifier.address, STRANGER.address)
    assert refusal == ("BadSetting", ("partialVerifier",))


def test_a_hostile_token_neither_records_nor_settles_while_it_is_called(parted: Parted, answer: Cut) -> None:
    plain = world(parted.chain, "CallingToken", parted.verifier)
    vault = new_vault(parted.chain, plain, parted.partial)
    calling = Parted(parted.chain, plain.token, plain.oracle, plain.verifier, vault, parted.partial)
    calling.enrol(1000, 500, book=answer.answered.breach.commitments)
    calling.open()
    calling.fund(STRANGER, 1000)
    recorder = calling.recorder(answer)
    calls = [recorder.recording(Part(claim, 0, 3)) for claim in Claim]
    reentered = calling.chain.w3.keccak(text="Reentered()")[:4]
    for call in (*calls, calling.settling_in_parts(answer.sliced(1, 1))):
        calling.send(calling.token.functions.call(vault.address, calling.message(call)))
        calling.send(vault.functions.deposit(OTHER.address, 100))
        assert calling.token.functions.reached().call() is False
        assert bytes(calling.token.functions.answer().call()) == bytes(reentered)
    # The same calls go through when nobody is in the vault.
    for call in calls:
        calling.send(call)
    calling.send(calling.settling_in_parts(answer.sliced(1, 1)))


# Whoever records


def test_a_recorder_goes_on_where_another_stopped(parted: Parted, answer: Cut) -> None:
    first = parted.recorder(answer)
    assert first.missing() == list(PLAN.parts())
    parted.send(first.recording(Part(Claim.TOP_UP, 0, 3)))
    second = parted.recorder(answer, sender=OTHER)
    assert second.missing() == [Part(Claim.BREACH, 0, 2), Part(Claim.TOP_UP, 1, 3)]
    assert (second.record(), second.missing(), second.record()) == (2, [], 0)
    parted.send(parted.settling_in_parts(answer))


def test_a_part_that_is_there_is_left_as_it_is(recorded: Parted, answer: Cut) -> None:
    for part in PLAN.parts():
        receipt = recorded.send(recorded.recorder(answer).recording(part))
        assert recorded.events(receipt) == []
    recorded.send(recorded.settling_in_parts(answer))


def test_parts_that_a_reorganisation_undid_are_recorded_again(parted: Parted, answer: Cut) -> None:
    before = parted.chain.machine.take_snapshot()
    assert parted.recorder(answer).record() == 3
    parted.chain.machine.revert_to_snapshot(before)
    assert parted.settles_nothing(answer) == missing("Breach", 0, 2)
    assert parted.recorder(answer).record() == 3
    parted.send(parted.settling_in_parts(answer))


def test_a_part_that_runs_out_of_gas_records_nothing(parted: Parted, answer: Cut) -> None:
    recorder = parted.recorder(answer)
    for part in (Part(Claim.BREACH, 0, 2), Part(Claim.TOP_UP, 1, 3)):
        call = recorder.recording(part)
        needed = call.estimate_gas({"from": STRANGER.address})
        for percent in (60, 80, 95):
            sent = call.transact({"from": STRANGER.address, "gas": max(needed * percent // 100, 200_000)})
            assert parted.chain.w3.eth.wait_for_transaction_receipt(sent)["status"] == 0
    assert recorder.missing() == list(PLAN.parts())
    assert parted.settles_nothing(answer) == missing("Breach", 0, 2)


def test_a_part_that_is_refused_is_said(parted: Parted, answer: Cut) -> None:
    parted.send(parted.vault.functions.endCovered(RUN), OPERATOR)
    with pytest.raises(PartsError, match=r"recorded nothing of Part\(.*the run may be over"):
        parted.recorder(answer).record()


def test_what_was_recorded_is_cleared_when_the_run_is_over(recorded: Parted, answer: Cut) -> None:
    digests = digest(answer.answer.breach), digest(answer.answer.top_up)
    functions = recorded.vault.functions
    assert recorded.refused(functions.forgetParts(RUN, *digests, 0, 2)) == ("RunIsOpen", (RUN,))
    recorded.send(functions.endCovered(RUN), OPERATOR)
    for claim, slices, bits in ((0, 2, 0b1), (1, 3, 0b11)):
        assert functions.recordedParts(RUN, *digests, claim, slices).call() == bits
        recorded.send(functions.forgetParts(RUN, *digests, claim, slices), STRANGER)
        assert functions.recordedParts(RUN, *digests, claim, slices).call() == 0
    # Of no slices there is nothing.
    assert functions.recordedParts(RUN, *digests, 0, 0).call() == 0
    assert recorded.events(recorded.send(functions.forgetParts(RUN, *digests, 0, 0), STRANGER)) == []
    for call in (functions.forgetParts, functions.recordedParts):
        assert recorded.refused(call(RUN, *digests, 0, 65)) == ("SliceOutOfRange", (0, 65))


def test_proofs_of_another_run_are_refused_whatever_is_recorded(parted: Parted, answer: Cut) -> None:
    other = cut(prove(TOP_UP, run="another"), PLAN)
    parted.record(other)
    mixed = replace(other, answered=answer.answered)
    refusal = parted.settles_nothing(mixed)
    assert refusal == ("WrongContext", (other.answered.breach.context, answer.answered.breach.context))
