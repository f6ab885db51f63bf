"""Books of models with slack: what is computed with, and a finding whose certificates are what was computed."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from atomic_margin.margin.kinds import KINDS, MarginKind
from atomic_margin.margin.rows.active_pieces import Tail, certify, shape_of, worst_moves
from atomic_margin.margin.rows.certificate import Certificate, combined_row
from atomic_margin.service.custodian import closing
from atomic_margin.service.custodian.computing import Listens, task_of
from atomic_margin.service.custodian.engine import shapes as engine_shapes
from atomic_margin.service.custodian.engine.task import Verdict
from atomic_margin.service.custodian.errors import FindingRefused, NotProven, SlackNotOpened
from atomic_margin.service.custodian.judging import Judged
from atomic_margin.service.custodian.receiving import Taken
from atomic_margin.service.custodian.slack import certificates_of, combined_of, shapes_of
from atomic_margin.service.custodian.stored import Found
from atomic_margin.service.demo.processes import free_port
from atomic_margin.service.protocol.account.opening_documents import OpeningRequest
from atomic_margin.service.protocol.custodian_messages import OpeningSession
from atomic_margin.service.protocol.opening_claims import OpeningGround, verify_finding
from atomic_margin.zk.groups import ORDER, Group
from atomic_margin.zk.sharing.interpolation import lagrange, weighted

from ...margin.settings import setting_of
from ..account.in_custody import CUSTODIANS
from ..account.names import named
from ..custody.slack_case import SlackCase
from .engine.present import Custodian, together

pytestmark = pytest.mark.long

MODELS = ("pmrm", "pmrm2", "expected_shortfall")
Cases = Callable[[str], SlackCase]


@pytest.fixture(scope="module")
def of_model(group: Group) -> Cases:
    made: dict[str, SlackCase] = {}

    def find(name: str) -> SlackCase:
        if name not in made:
            made[name] = SlackCase(setting_of(name), group, {}, seed=0)
        return made[name]

    return find


def judged_by(case: SlackCase, point: int) -> Judged:
    record = case.ground.record
    body = OpeningRequest.model_construct(
        institution=record.institution,
        operator=record.operator,
        run=case.ground.run_hash,
        deal=case.deal.hash.hex(),
    )
    taken = Taken(case.shares[point], case.deal)
    return Judged(named("request"), body, case.policy, case.ground, taken, shapes_of(case.ground))


def found_of(case: SlackCase) -> Found:
    """What the engine says of the book."""
    rows, chosen = [], []
    for kind in KINDS:
        certificate, shape = case.certificate(kind), shape_of(case.exact(kind))
        rows.append(certificate.row)
        if isinstance(shape, Tail):
            worst = worst_moves(case.exact(kind), shape, case.z)
            chosen.append((*sorted(worst[: shape.whole]), *worst[shape.whole :]))
        else:
            chosen.append(tuple(row for row, _ in certificate.multipliers))
    return Found(True, rows[0], rows[1], chosen[0], chosen[1])


def proven(case: SlackCase, found: Found, points: tuple[int, ...] = (2, 9)) -> closing.Finding:
    """What the closer brings, from shares that each custodian made by itself."""
    sent = {}
    for point in points:
        judged = judged_by(case, point)
        sent[point] = closing.own_shares(judged, closing.rows_of(judged, found))
    judged = judged_by(case, points[0])
    return closing.prove(judged, found, closing.open_both(judged, found, sent, case.group), case.group)


@pytest.mark.parametrize("name", MODELS)
def test_a_breach_is_proven_of_combined_rows_and_followed(of_model: Cases, name: str) -> None:
    case = of_model(name)
    found, judged = found_of(case), judged_by(case, 9)
    finding = proven(case, found)
    verify_finding(finding, case.ground, case.group)
    closing.check_finding(judged, found, finding, case.group)
    # What whoever knows the book finds by the certificates that say most.
    best = case.breach()
    assert finding.top_up == best.top_up
    assert (finding.maintenance_certificate, finding.initial_certificate) == (
        best.maintenance_certificate,
        best.initial_certificate,
    )
    covered = closing.covered(judged)
    closing.check_finding(judged, Found(False), covered, case.group)
    with pytest.raises(FindingRefused, match="says covered"):
        closing.check_finding(judged, found, covered, case.group)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("kind", KINDS)
def test_another_certificate_of_the_same_row_is_not_followed(of_model: Cases, name: str, kind: MarginKind) -> None:
    """It holds, and so does its proof; the computation did not say it."""
    case = of_model(name)
    right = case.certificate(kind)
    times = tuple((row, 2 * one) for row, one in right.multipliers)
    others = [replace(right, scale=2 * right.scale, multipliers=times)]
    if name != "expected_shortfall" and kind == "initial":
        # Slack that saves more than there is: a smaller top-up.
        others.append(Certificate(right.row, 1, ()))
    for other in others:
        finding = case.breach(**{kind: other})
        verify_finding(finding, case.ground, case.group)
        with pytest.raises(FindingRefused, match="other certificates"):
            closing.check_finding(judged_by(case, 9), found_of(case), finding, case.group)


@pytest.mark.parametrize("kind", KINDS)
def test_the_certificate_of_another_row_is_not_followed(of_model: Cases, kind: MarginKind) -> None:
    case = of_model("pmrm2")
    exact, right = case.exact(kind), case.certificate(kind)
    every = [certify(exact, case.z, int(row)) for row in exact.margin_rows]
    negative = [one for one in every if combined_row(exact, one).value(case.z) < 0 and one.row != right.row]
    finding = case.breach(**{kind: negative[0]})
    verify_finding(finding, case.ground, case.group)
    with pytest.raises(FindingRefused, match="other certificates" if kind == "maintenance" else "by initial row"):
        closing.check_finding(judged_by(case, 9), found_of(case), finding, case.group)


def test_a_finding_without_certificates_is_not_followed(of_model: Cases) -> None:
    case = of_model("pmrm")
    bare = case.breach().changed({"maintenance_certificate": None, "initial_certificate": None})
    with pytest.raises(FindingRefused, match="other certificates"):
        closing.check_finding(judged_by(case, 9), found_of(case), bare, case.group)


def test_rows_that_the_computation_may_not_name(of_model: Cases) -> None:
    case = of_model("expected_shortfall")
    right, judged = found_of(case), judged_by(case, 2)
    assert right.initial_chosen is not None
    moves = right.initial_chosen
    for wrong in (
        right._replace(initial_chosen=None),
        right._replace(initial_row=None),
        right._replace(initial_chosen=moves[1:]),
        right._replace(initial_chosen=(*moves[1:], moves[1])),
        right._replace(initial_chosen=(10**6, *moves[1:])),
        right._replace(initial_row=moves[0]),
    ):
        with pytest.raises(FindingRefused):
            closing.rows_of(judged, wrong)
    # A validity row that the engine names without reason makes a row that is not negative, or less so: nothing is said.
    shape = shape_of(case.exact("maintenance"))
    assert isinstance(shape, Tail)
    best = sorted(shape.moves, key=lambda move: -int(case.exact("maintenance").matrix.surplus(case.z)[move]))
    harmless = tuple(best[: len(right.maintenance_chosen or ())])
    assert combined_row(case.exact("maintenance"), shape.certificate(harmless)).value(case.z) >= 0
    with pytest.raises(NotProven, match="deviated"):
        proven(case, right._replace(maintenance_chosen=harmless))


def test_only_a_breach_of_a_model_with_slack_has_certificates(of_model: Cases) -> None:
    shapes = shapes_of(of_model("pmrm").ground)
    assert certificates_of(shapes, Found(False)) is None
    assert certificates_of(None, Found(True, 1, 2)) is None


@pytest.mark.parametrize("name", MODELS)
def test_a_task_has_shares_of_all_exact_rows(of_model: Cases, name: str) -> None:
    case = of_model(name)
    present = [{"point": str(point), "address": f"127.0.0.1:{point + 1}"} for point in (1, 2, 9)]
    session = OpeningSession.parse({"number": "1", "closer": "1", "present": present})
    tasks = [task_of(judged_by(case, point), session, point, Listens("127.0.0.1", 9, 60)) for point in (1, 2, 9)]
    assert len({task.hash for task in tasks}) == 1
    assert tasks[0].slack == shapes_of(case.ground)
    for kind in KINDS:
        shares = [getattr(task, kind) for task in tasks[:2]]
        values = weighted(lagrange([1, 2]), shares)
        signed = [value - ORDER if value > ORDER // 2 else value for value in values]
        assert signed == case.exact(kind).matrix.surplus(case.z).tolist()
        assert max(map(abs, signed)) < 1 << (tasks[0].bits - 1)


@pytest.mark.long
@pytest.mark.parametrize("name", ["pmrm2", "expected_shortfall"])
def test_engines_say_what_is_then_proven(of_model: Cases, name: str) -> None:
    """Real engines on tasks as the process makes them, from shares of the book."""
    pytest.importorskip("mpyc")
    case, points = of_model(name), (1, 2, 9)
    ports = {point: free_port() for point in points}
    present = [{"point": str(point), "address": f"127.0.0.1:{port}"} for point, port in ports.items()]
    session = OpeningSession.parse({"number": "1", "closer": "1", "present": present})
    said = together(
        [
            Custodian(
                task_of(judged_by(case, point), session, point, Listens("127.0.0.1", port, 90)), CUSTODIANS[point]
            )
            for point, port in ports.items()
        ]
    )
    assert isinstance(said[0], Verdict), said[0]
    assert said == [said[0]] * 3
    found = Found(*vars(said[0]).values())
    assert found == found_of(case)
    closing.check_finding(judged_by(case, 9), found, proven(case, found, (1, 2)), case.group)


def with_exact(ground: OpeningGround, **changes: Any) -> OpeningGround:
    """The same run with other maintenance rows."""
    found = replace(ground)
    found.__dict__["exact"] = {**ground.exact, "maintenance": replace(ground.exact["maintenance"], **changes)}
    return found


def test_slack_of_another_shape_is_refused_by_name(of_model: Cases) -> None:
    ground = of_model("pmrm").ground
    slack = np.array(ground.exact["maintenance"].slack)
    bounding = np.flatnonzero(ground.exact["maintenance"].validity)
    slack[bounding[0], :2] = 1
    with pytest.raises(SlackNotOpened, match="stay frozen"):
        shapes_of(with_exact(ground, slack=slack))


def test_what_takes_too_long_is_refused_by_name(of_model: Cases, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_shapes, "MAX_COMPARISONS", 3)
    with pytest.raises(SlackNotOpened, match="comparisons, and an opening takes 3 at most: the book stays frozen"):
        shapes_of(of_model("pmrm").ground)


def test_a_tick_without_exact_rows_is_refused_by_name(of_model: Cases) -> None:
    with pytest.raises(SlackNotOpened, match="stay frozen"):
        shapes_of(of_model("pmrm").without_market())


def test_a_tail_too_wide_for_a_proof_is_refused_before_anything_is_computed(of_model: Cases) -> None:
    """Of 13 bits more; a scale of maxima is known once the row is."""
    ground = of_model("expected_shortfall").ground
    shape = shape_of(ground.exact["maintenance"])
    assert isinstance(shape, Tail)
    slack = np.array(ground.exact["maintenance"].slack)
    p, q = 131, 60
    for move in shape.moves:
        slack[move] = np.where(slack[move] == shape.numerator, p, slack[move])
        slack[move, :2] = q, -q
    with pytest.raises(SlackNotOpened, match="the combined row takes 49 bits, and a proof 48"):
        shapes_of(with_exact(ground, slack=slack))


@pytest.mark.parametrize("bits", [40, 13])
def test_a_row_too_wide_for_a_proof_is_refused_by_name(of_model: Cases, bits: int) -> None:
    case = of_model("pmrm")
    right = case.certificate("initial")
    wide = replace(right, scale=1 << bits, multipliers=tuple((row, n << bits) for row, n in right.multipliers))
    with pytest.raises(SlackNotOpened, match="stays frozen"):
        combined_of(case.ground, "initial", wide)
    beyond = replace(right, multipliers=((10**6, 1),))
    with pytest.raises(FindingRefused, match="certify nothing"):
        combined_of(case.ground, "initial", beyond)
