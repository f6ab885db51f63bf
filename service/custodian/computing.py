"""What is put into the joint computation of an opening. Touches secrets: a task has shares of every row."""

import re
from collections.abc import Callable
from typing import NamedTuple

from atomic_margin.circuits.profile import Profile
from atomic_margin.documents.canonical import canonical_hash
from atomic_margin.margin.kinds import MarginKind
from atomic_margin.margin.rows.rounding import PROOF_SHIFT
from atomic_margin.service.custodian.engine.task import EngineTask, Present, Verdict
from atomic_margin.service.custodian.errors import SessionRefused
from atomic_margin.service.custodian.judging import Judged
from atomic_margin.service.protocol.custodian_messages import ADDRESS, OpeningSession
from atomic_margin.service.protocol.signing import Identity
from atomic_margin.zk.sharing.open_row import share_row

Engine = Callable[[EngineTask, Identity], Verdict]
"""`engine.run.run_engine`, or what stands for it in tests of what is around it."""


CLOSING_SECONDS = 45
"""For the two rows, the proofs and the verdicts; within the operator's `--opening-session-seconds`, as a default."""


class Listens(NamedTuple):
    """Where an engine listens, and for how long it may compute and a session may take.

    Attributes:
        host: address of this machine.
        port: of it.
        seconds: a computation ends by then.
        closing_seconds: so long after that a session of which nothing came is given up.
    """

    host: str
    port: int
    seconds: int
    closing_seconds: int = CLOSING_SECONDS


def check_session(judged: Judged, session: OpeningSession, point: int) -> None:
    """Make sure that a session is one that the policy allows, with this custodian in it.

    Raises:
        SessionRefused: it is not.
    """
    points = [one.point for one in session.present]
    if points != sorted(set(points)) or not set(points) <= judged.policy.by_point.keys():
        raise SessionRefused(f"session {session.number} is not of different custodians of the policy, by their points")
    if len(points) != judged.policy.present or point not in points:
        raise SessionRefused(f"session {session.number} is not of {judged.policy.present} custodians with this one")
    if session.closer != points[0]:
        raise SessionRefused(f"the closer of session {session.number} is not the one at the lowest point")


def task_of(judged: Judged, session: OpeningSession, point: int, listens: Listens) -> EngineTask:
    """Return what this custodian's engine computes with others.

    Args:
        judged: the opening.
        session: who takes part; checked.
        point: of this custodian.
        listens: where its engine does.

    Raises:
        EngineTaskInvalid: an address is none.
    """
    present = []
    for one in session.present:
        host, port = (listens.host, listens.port) if one.point == point else _address(one.address)
        present.append(Present(one.point, host, port, judged.policy.by_point[one.point].identity))
    return EngineTask(
        request=canonical_hash("opening-session", {"request": judged.request, "session": str(session.number)}),
        rows=canonical_hash(
            "opened-rows",
            {
                "deal": judged.body.deal,
                "maintenance": judged.ground.row_hash("maintenance"),
                "initial": judged.ground.row_hash("initial"),
            },
        ),
        threshold=judged.policy.threshold,
        bits=row_bits(judged.ground.terms.profile),
        point=point,
        present=tuple(present),
        maintenance=_shares(judged, "maintenance"),
        initial=_shares(judged, "initial"),
        seconds=listens.seconds,
        slack=judged.shapes,
    )


def row_bits(profile: Profile) -> int:
    """Return the width of a proof row, with sign: what a proof of either side takes, and the sign."""
    return profile.bits + PROOF_SHIFT + 1


def _shares(judged: Judged, kind: MarginKind) -> tuple[int, ...]:
    rows = len(judged.matrix(kind).weights)
    return tuple(share_row(judged.row(kind, index), judged.taken.shares).value for index in range(rows))


def _address(text: str) -> tuple[str, int]:
    if not re.fullmatch(ADDRESS.removesuffix("$"), text):
        raise SessionRefused(f"the operator names an address that is none: {text[:64]!r}")
    host, _, port = text.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)
