"""What custodians find counts if t of them signed it and its proofs hold about this very run, and nothing else does."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from atomic_margin.documents.errors import MalformedDocument
from atomic_margin.service.errors import Refused, SignatureInvalid
from atomic_margin.service.protocol.account.opening_documents import Finding, Opened
from atomic_margin.service.protocol.opening_claims import top_up_step, verify_finding
from atomic_margin.service.protocol.signing import Identity, SignedDocument
from atomic_margin.service.protocol.verification import VerifiedBreach, VerifiedCoverage, verify_opened
from atomic_margin.zk.errors import SharesInvalid, WitnessError
from atomic_margin.zk.groups import Group

from ..account.in_custody import policy
from ..account.names import named
from ..cases import Case, other_hex
from ..stages import Stages
from ..world import World
from .shared_case import SharedCase, verdict

Shared = Callable[[str], SharedCase]


@pytest.fixture
def shared(case: Callable[[str], Case], stages: Stages, group: Group, world_at: Callable[[str], World]) -> Shared:
    operator = world_at("bare").operator.identity
    return lambda name: SharedCase(case(name), stages, group, operator)


def _verify(of: SharedCase, signed: SignedDocument, **other: Any) -> VerifiedCoverage | VerifiedBreach:
    arguments = {"ground": of.ground, "policy": of.policy, "group": of.group} | other
    return verify_opened(signed, Opened.parse(signed.body), **arguments)


def test_a_breach_that_was_opened_is_the_second_kind(shared: Shared) -> None:
    of = shared("fall")
    assert min(of.surpluses("maintenance")) < 0
    signed = of.opened(of.breach())
    found = _verify(of, signed)
    assert isinstance(found, VerifiedBreach)
    assert (found.flag, found.answer_hash, found.run_hash) == ("opened", signed.body_hash(), of.case.run.body_hash())
    # The institution proves the same X: that its least row lacks.
    answered = of.case.verify_answer(of.case.answer)
    assert isinstance(answered, VerifiedBreach)
    assert (found.top_up, found.top_up_usd) == (answered.top_up, answered.top_up_usd)
    assert found.top_up_usd == Decimal(100_000)


def test_what_is_found_covered_rests_on_the_verdicts(shared: Shared) -> None:
    of = shared("calm")
    assert isinstance(_verify(of, of.opened(of.covered())), VerifiedCoverage)


def test_any_two_custodians_open_the_same_row(shared: Shared) -> None:
    of = shared("fall")
    row = of.least("maintenance")
    opened = {of.opened_row("maintenance", row, points) for points in ((1, 2), (2, 9), (5, 9))}
    assert {one.value for one in opened} == {min(of.surpluses("maintenance"))}


def test_a_wrong_share_of_a_row_is_named(shared: Shared) -> None:
    of = shared("fall")
    wrong = of.shares[2]
    of.shares[2] = type(wrong)(wrong.custodian, wrong.deal, (wrong.values[0] + 1, *wrong.values[1:]), wrong.blindings)
    row = of.least("maintenance")
    with pytest.raises(SharesInvalid) as caught:
        of.opened_row("maintenance", row)
    assert caught.value.custodian == 2


def test_nobody_proves_a_breach_of_a_covered_book(shared: Shared) -> None:
    of = shared("calm")
    with pytest.raises(WitnessError, match="not negative"):
        of.breach()


@pytest.mark.parametrize("steps", [-1, 1])
def test_a_top_up_that_is_not_what_the_row_lacks_is_not_proven(shared: Shared, steps: int) -> None:
    of = shared("fall")
    with pytest.raises((WitnessError, Refused, MalformedDocument)):
        of.breach(steps=steps)


def test_a_smaller_top_up_under_the_right_proof_is_refused(shared: Shared) -> None:
    of = shared("fall")
    right, step = of.breach(), top_up_step(of.ground)
    matrix = of.case.matrices.initial_proof
    for top_up in (right.top_up + step, 2 * right.top_up, step if right.top_up != step else 3 * step):
        changed = right.changed({"top_up": top_up, "top_up_usd": format(matrix.usd(top_up), "f")})
        with pytest.raises(Refused) as caught:
            _verify(of, of.opened(changed))
        assert caught.value.field in ("breach_proof", "lack_proof")


def test_a_top_up_of_another_row_is_another_proof(shared: Shared) -> None:
    of = shared("fall")
    right = of.breach()
    rows = len(of.case.matrices.initial_proof.weights)
    other = ((right.initial_row or 0) + 1) % rows
    with pytest.raises(Refused) as caught:
        _verify(of, of.opened(right.changed({"initial_row": other})))
    assert caught.value.field in ("breach_proof", "lack_proof")
    with pytest.raises(Refused) as caught:
        _verify(of, of.opened(right.changed({"initial_row": rows})))
    assert caught.value.field == "initial_row"


@pytest.mark.parametrize("name", ["breach_proof", "lack_proof"])
def test_a_proof_with_one_digit_changed_is_refused(shared: Shared, name: str) -> None:
    of = shared("fall")
    right = of.breach()
    changed = right.changed({name: other_hex(getattr(right, name))})
    with pytest.raises(Refused) as caught:
        _verify(of, of.opened(changed))
    assert caught.value.field == name


def test_a_breach_of_another_run_is_refused(shared: Shared) -> None:
    of, crash = shared("fall"), shared("crash")
    found = of.breach()
    with pytest.raises(Refused, match="another run"):
        verify_finding(found, crash.ground, of.group)
    moved = found.changed(
        {
            "run_id": crash.record.run_id,
            "run": crash.case.run.body_hash(),
            "price_sequence": crash.record.price_sequence,
        }
    )
    with pytest.raises(Refused) as caught:
        verify_finding(moved, crash.ground, of.group)
    assert caught.value.field in ("breach_proof", "top_up", "top_up_usd")


@pytest.mark.parametrize("name", ["request", "run", "submission", "run_id", "institution"])
def test_proofs_are_bound_to_everything_that_is_said(shared: Shared, name: str) -> None:
    of = shared("fall")
    changed = of.breach().changed({name: "other" if name in ("run_id", "institution") else named("other")})
    with pytest.raises(Refused) as caught:
        _verify(of, of.opened(changed))
    assert caught.value.field == ("breach_proof" if name == "request" else name)


@pytest.mark.parametrize(("points", "match"), [((), "0 custodians"), ((2,), "1 custodians"), ((2, 2), "signed twice")])
@pytest.mark.parametrize("outcome", ["covered", "breach"])
def test_too_few_verdicts_are_refused(shared: Shared, points: tuple[int, ...], match: str, outcome: str) -> None:
    of = shared("calm" if outcome == "covered" else "fall")
    found = of.covered() if outcome == "covered" else of.breach()
    with pytest.raises(Refused, match=match):
        _verify(of, of.opened(found, points))


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"finding": named("other")}, "another finding"),
        ({"request": named("other")}, "another request"),
        ({"institution": "other"}, "another institution"),
        ({"point": "1"}, "not trusted for it"),
        ({"point": "3"}, "no custodian at point 3"),
    ],
)
def test_a_verdict_about_something_else_is_refused(shared: Shared, changes: dict[str, str], match: str) -> None:
    of = shared("calm")
    found = of.covered()
    wrong = [verdict(found, 2, **changes).to_json(), verdict(found, 9).to_json()]
    with pytest.raises((Refused, SignatureInvalid), match=match):
        _verify(of, of.opened(found, verdicts=wrong))


def test_a_verdict_of_a_stranger_is_refused(shared: Shared) -> None:
    of = shared("calm")
    found, stranger = of.covered(), Identity.generate()
    body = verdict(found, 2).body | {"custodian": stranger.public_key}
    wrong = [stranger.sign("opening-verdict", body).to_json(), verdict(found, 9).to_json()]
    with pytest.raises(SignatureInvalid):
        _verify(of, of.opened(found, verdicts=wrong))


def test_verdicts_under_another_policy_are_refused(shared: Shared) -> None:
    of = shared("calm")
    other = policy()
    strangers = [
        one.changed({"identity": Identity.generate().public_key}) if one.point == 2 else one for one in other.custodians
    ]
    with pytest.raises(SignatureInvalid):
        _verify(of, of.opened(of.covered()), policy=other.changed({"custodians": tuple(strangers)}))


def test_only_the_operator_enters_it(shared: Shared) -> None:
    of = shared("calm")
    signed = of.opened(of.covered())
    stranger = Identity.generate().sign("opened", signed.body)
    with pytest.raises(SignatureInvalid):
        _verify(of, stranger)


def test_a_finding_has_proofs_with_a_breach_and_nothing_else(shared: Shared) -> None:
    of = shared("fall")
    body = of.claim("covered")
    for name in ("breach_proof", "lack_proof"):
        with pytest.raises(MalformedDocument, match="comes with a breach"):
            Finding.parse(body | {name: "00"})
    with pytest.raises(MalformedDocument, match="comes with a breach"):
        Finding.parse(body | {"initial_row": "1"})
    with pytest.raises(MalformedDocument, match="top_up"):
        Finding.parse(body | {"top_up": "5", "top_up_usd": "5"})
    with pytest.raises(MalformedDocument, match="top_up"):
        Finding.parse(body | {"outcome": "breach", "initial_row": "1", "breach_proof": "00", "lack_proof": "00"})
