"""What custodians find of books of models with slack counts by certificates, and not by anything less."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from atomic_margin.documents.errors import MalformedDocument
from atomic_margin.margin.rows.active_pieces import Maxima, Tail, shape_of
from atomic_margin.margin.rows.certificate import Certificate, combined_row
from atomic_margin.service.errors import Refused
from atomic_margin.service.protocol.account.opening_documents import Finding, Opened, SlackCertificate
from atomic_margin.service.protocol.opening_claims import (
    breach_statement,
    finding_claims,
    lacking,
    top_up_step,
    verify_finding,
)
from atomic_margin.service.protocol.proven import require_proven
from atomic_margin.service.protocol.signing import Identity
from atomic_margin.service.protocol.verification import VerifiedBreach, VerifiedCoverage, verify_opened
from atomic_margin.zk.errors import WitnessError
from atomic_margin.zk.groups import Group
from atomic_margin.zk.prove.opened_breach import prove_opened_breach

from ...margin.settings import setting_of
from .shared_case import verdict
from .slack_case import SlackCase

MODELS = ("pmrm", "pmrm2", "expected_shortfall")
AT = "2026-11-29T12:00:00Z"
RICH = {"USDC": 10**17}
Cases = Callable[..., SlackCase]


@pytest.fixture(scope="module")
def of_model(group: Group) -> Cases:
    made: dict[Any, SlackCase] = {}

    def find(name: str, rich: bool = False) -> SlackCase:
        if (name, rich) not in made:
            made[name, rich] = SlackCase(setting_of(name), group, RICH if rich else {}, seed=0)
        return made[name, rich]

    return find


def refused_field(finding: Finding, of: SlackCase) -> str | None:
    with pytest.raises(Refused) as caught:
        verify_finding(finding, of.ground, of.group)
    return caught.value.field


def with_certificate(finding: Finding, name: str, certificate: Certificate) -> Finding:
    return finding.changed({name: SlackCertificate.of(certificate)})


@pytest.mark.parametrize("name", MODELS)
def test_a_breach_counts_whatever_slack_there_is(of_model: Cases, name: str) -> None:
    of, operator = of_model(name), Identity.generate()
    ground = replace(of.ground, record=of.ground.record.changed({"operator": operator.public_key}))
    finding = of.breach(ground=ground)
    verdicts = [verdict(finding, point).to_json() for point in (2, 9)]
    said = finding.canonical()
    assert isinstance(said, dict)
    opened = Opened.parse({**said, "verdicts": verdicts, "opened_at": AT})
    found = verify_opened(opened.signed_by(operator), opened, ground=ground, policy=of.policy, group=of.group)
    assert isinstance(found, VerifiedBreach)
    assert (found.flag, found.top_up) == ("opened", finding.top_up)
    # What the institution would be short of, by its best slack: never less, and what whole units of slack lose at most.
    step = top_up_step(of.ground)
    own = lacking(of.least["initial"], 1, step)
    assert own - step <= found.top_up <= own
    if name != "expected_shortfall":
        assert found.top_up == own


@pytest.mark.parametrize("name", MODELS)
def test_what_is_found_covered_rests_on_the_verdicts(of_model: Cases, name: str) -> None:
    of, operator = of_model(name, rich=True), Identity.generate()
    assert of.least["maintenance"] >= 0
    ground = replace(of.ground, record=of.ground.record.changed({"operator": operator.public_key}))
    finding = of.covered(ground)
    verdicts = [verdict(finding, point).to_json() for point in (2, 9)]
    said = finding.canonical()
    assert isinstance(said, dict)
    opened = Opened.parse({**said, "verdicts": verdicts, "opened_at": AT})
    found = verify_opened(opened.signed_by(operator), opened, ground=ground, policy=of.policy, group=of.group)
    assert isinstance(found, VerifiedCoverage)


@pytest.mark.parametrize("name", MODELS)
def test_nobody_proves_a_breach_of_a_covered_book(of_model: Cases, name: str) -> None:
    of, right = of_model(name, rich=True), of_model(name).breach()
    for certificate in (of_model(name).certificate("maintenance"), of.certificate("maintenance")):
        claim = with_certificate(right, "maintenance_certificate", certificate)
        opening = of.opened(combined_row(of.exact("maintenance"), certificate))
        with pytest.raises(WitnessError, match="not negative"):
            prove_opened_breach(breach_statement(claim, of.ground), 0, opening, of.group)


@pytest.mark.parametrize("name", MODELS)
def test_conservative_rows_take_nothing(of_model: Cases, name: str) -> None:
    """The same finding without its certificates, and any where prices are not at hand."""
    of = of_model(name)
    bare = of.breach().changed({"maintenance_certificate": None, "initial_certificate": None})
    assert refused_field(bare, of) == "maintenance_certificate"
    for finding in (of.breach(), of.covered()):
        with pytest.raises(Refused, match="stay frozen") as caught:
            verify_finding(finding, of.without_market(), of.group)
        assert caught.value.field == "outcome"


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("kind", ["maintenance", "initial"])
def test_another_certificate_is_another_proof(of_model: Cases, name: str, kind: Any) -> None:
    """One that holds, of the same matrix, under the proof of the right one."""
    of = of_model(name)
    right, exact = of.certificate(kind), of.exact(kind)
    other = replace(right, scale=2 * right.scale, multipliers=tuple((row, 2 * n) for row, n in right.multipliers))
    combined_row(exact, other)
    field = refused_field(with_certificate(of.breach(), f"{kind}_certificate", other), of)
    assert field in ("breach_proof", "lack_proof")


@pytest.mark.parametrize("kind", ["maintenance", "initial"])
def test_a_certificate_that_leaves_slack_is_refused(of_model: Cases, kind: Any) -> None:
    for name in MODELS:
        of = of_model(name)
        exact, right, found = of.exact(kind), of.certificate(kind), of.breach()
        (row, times), *others = right.multipliers
        name = f"{kind}_certificate"
        assert (
            refused_field(with_certificate(found, name, replace(right, multipliers=((row, times + 1), *others))), of)
            == name
        )
        beyond = replace(right, multipliers=(*right.multipliers, (exact.matrix.rows, 1)))
        assert refused_field(with_certificate(found, name, beyond), of) == name
        if kind == "maintenance":
            assert refused_field(with_certificate(found, name, replace(right, row=row)), of) == name


def test_a_short_tail_takes_no_collateral(of_model: Cases) -> None:
    """Six and a half of the worst moves count: by six of them alone more would be missing."""
    of = of_model("expected_shortfall")
    shape, right = shape_of(of.exact("initial")), of.certificate("initial")
    assert isinstance(shape, Tail)
    assert (shape.whole, shape.part) == (6, 1)
    full = tuple(item for item in right.multipliers if item[1] == max(times for _, times in right.multipliers))
    assert len(full) == 6
    for short in (
        Certificate(right.row, right.scale, full),
        Certificate(right.row, 6, tuple((row, 1) for row, _ in full)),
    ):
        assert refused_field(with_certificate(of.breach(), "initial_certificate", short), of) == "initial_certificate"


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("steps", [-1, 1])
def test_a_top_up_that_is_not_what_the_row_lacks_is_not_proven(of_model: Cases, name: str, steps: int) -> None:
    with pytest.raises(WitnessError):
        of_model(name).breach(steps=steps)


@pytest.mark.parametrize("name", MODELS)
def test_another_top_up_under_the_right_proof_is_refused(of_model: Cases, name: str) -> None:
    of = of_model(name)
    right, step = of.breach(), top_up_step(of.ground)
    matrix = of.exact("initial").matrix
    for top_up in (right.top_up + step, right.top_up - step):
        changed = right.changed({"top_up": top_up, "top_up_usd": format(matrix.usd(top_up), "f")})
        assert refused_field(changed, of) in ("breach_proof", "lack_proof")
    # Not of the step, and in the unit of the conservative rows.
    assert refused_field(right.changed({"top_up": right.top_up + 1}), of) == "top_up"
    usd = format(of.ground.matrices.initial_proof.usd(right.top_up), "f")
    if usd != right.top_up_usd:
        assert refused_field(right.changed({"top_up_usd": usd}), of) == "top_up_usd"


def test_pieces_that_are_not_active_say_less(of_model: Cases) -> None:
    """A closer that leaves a piece out proves a smaller top-up, or none: nobody loses by it but who asked."""
    of = of_model("pmrm2")
    right, shape = of.certificate("initial"), shape_of(of.exact("initial"))
    assert isinstance(shape, Maxima)
    assert right.multipliers
    # Every slack value at 0.
    none = shape.certificate(right.row, {})
    found = of.breach(initial=none)
    verify_finding(found, of.ground, of.group)
    assert found.top_up <= of.breach().top_up


@pytest.mark.parametrize(("kind", "bits"), [("initial", 40), ("maintenance", 40), ("maintenance", 13)])
def test_a_row_too_wide_for_a_proof_is_named(of_model: Cases, kind: Any, bits: int) -> None:
    """By its numbers, and by what its shortfall may take: 36 bits and 13 more."""
    of = of_model("pmrm")
    right = of.certificate(kind)
    wide = replace(right, scale=1 << bits, multipliers=tuple((row, n << bits) for row, n in right.multipliers))
    changed = with_certificate(of.breach(), f"{kind}_certificate", wide)
    with pytest.raises(Refused, match="stays frozen") as caught:
        verify_finding(changed, of.ground, of.group)
    assert caught.value.field == f"{kind}_certificate"


def test_both_proofs_are_bound_to_both_certificates(of_model: Cases) -> None:
    of = of_model("pmrm")
    right = of.breach()
    for kind in ("maintenance", "initial"):
        certificate = of.certificate(kind)  # type: ignore[arg-type]
        other = replace(certificate, scale=2, multipliers=tuple((row, 2 * n) for row, n in certificate.multipliers))
        claims = finding_claims(with_certificate(right, f"{kind}_certificate", other), of.ground)
        for name, claim in claims.items():
            with pytest.raises(Refused) as caught:
                require_proven({name: claim}, of.group)
            assert caught.value.field == name


def test_certificates_come_in_pairs_on_a_breach(of_model: Cases) -> None:
    said = of_model("pmrm").breach().canonical()
    assert isinstance(said, dict)
    with pytest.raises(MalformedDocument, match="initial_certificate"):
        Finding.parse({name: value for name, value in said.items() if name != "initial_certificate"})
    with pytest.raises(MalformedDocument, match="initial_certificate"):
        Finding.parse({name: value for name, value in said.items() if name != "maintenance_certificate"})
    with pytest.raises(MalformedDocument, match=r"initial_certificate\.row"):
        Finding.parse(said | {"initial_row": str(int(str(said["initial_row"])) + 1)})
    covered = of_model("pmrm").covered().canonical()
    assert isinstance(covered, dict)
    both = {name: said[name] for name in ("maintenance_certificate", "initial_certificate")}
    with pytest.raises(MalformedDocument, match="initial_certificate"):
        Finding.parse(covered | both)


def test_a_certificate_is_read_as_it_is_written(of_model: Cases) -> None:
    for kind in ("maintenance", "initial"):
        certificate = of_model("expected_shortfall").certificate(kind)
        written = SlackCertificate.of(certificate).canonical()
        assert SlackCertificate.parse(written).certificate == certificate
