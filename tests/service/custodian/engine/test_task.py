"""What a task may be, what its hash covers, and how it travels."""

import json
from dataclasses import replace

import pytest

from atomic_margin.service.custodian.engine.errors import EngineTaskInvalid
from atomic_margin.service.custodian.engine.task import MAX_TASK_BYTES, EngineTask, Present, parse_json
from atomic_margin.service.protocol.signing import Identity
from atomic_margin.zk.groups import ORDER
from tests.service.custodian.engine.present import present

TASK = present((1, 2, 4), 2, (5, 6), (7,))[0].task
OTHER = Present(4, "127.0.0.1", 9, Identity.generate().public_key)


def test_a_task_travels_as_json_and_shows_no_share() -> None:
    assert EngineTask.from_fields(parse_json(json.dumps(TASK.to_fields()).encode())) == TASK
    shown = repr(TASK)
    assert not any(f"{share}" in shown or f"{share:x}" in shown for share in (*TASK.maintenance, *TASK.initial))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"request": "AB" * 32}, "request"),
        ({"rows": "ab"}, "rows"),
        ({"threshold": 1}, "threshold"),
        ({"threshold": 3}, "present: their number"),
        ({"threshold": True}, "threshold"),
        ({"bits": 49}, "bits"),
        ({"bits": 1}, "bits"),
        ({"seconds": 0}, "seconds"),
        ({"seconds": 601}, "seconds"),
        ({"point": 3}, "point"),
        ({"present": TASK.present[:2]}, "present: their number"),
        ({"present": TASK.present[::-1]}, "points ascend"),
        ({"present": (*TASK.present[:2], TASK.present[1])}, "points ascend"),
        ({"present": (*TASK.present[:2], replace(OTHER, identity=TASK.present[0].identity))}, "occurs twice"),
        ({"present": (*TASK.present[:2], replace(OTHER, identity="01" + 31 * "00"))}, "no public key"),
        ({"present": (*TASK.present[:2], replace(OTHER, identity="01"))}, "64 hex digits"),
        ({"present": (*TASK.present[:2], replace(OTHER, point=65_536))}, "a point"),
        ({"present": (*TASK.present[:2], replace(OTHER, port=0))}, "a port"),
        ({"present": (*TASK.present[:2], replace(OTHER, host="a b"))}, "a host"),
        ({"maintenance": ()}, "maintenance: the number"),
        ({"initial": (0,) * 257}, "initial: the number"),
        ({"maintenance": (ORDER,)}, "maintenance: a share"),
        ({"initial": (-1,)}, "initial: a share"),
        ({"initial": (True,)}, "initial: a share"),
    ],
)
def test_what_no_engine_takes_is_named(changes: dict[str, object], message: str) -> None:
    with pytest.raises(EngineTaskInvalid, match=message):
        replace(TASK, **changes)  # type: ignore[arg-type]


def test_a_refused_share_is_not_repeated() -> None:
    with pytest.raises(EngineTaskInvalid) as raised:
        replace(TASK, maintenance=(ORDER + 12_345,))
    assert str(ORDER + 12_345) not in str(raised.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"request": "ef" * 32},
        {"rows": "ef" * 32},
        {"bits": 13},
        {"maintenance": (1,)},
        {"initial": (1, 2)},
        {"present": (*TASK.present[:2], OTHER)},
        {"present": (*TASK.present[:2], replace(TASK.present[2], point=5))},
        {"present": (*TASK.present, replace(OTHER, point=5))},
    ],
)
def test_the_hash_covers_what_all_must_have_alike(changes: dict[str, object]) -> None:
    assert replace(TASK, **changes).hash != TASK.hash  # type: ignore[arg-type]


def test_the_hash_covers_the_threshold() -> None:
    five = present((1, 2, 3, 4, 5), 3, (1,), (1,))[0].task
    assert replace(five, threshold=2).hash != five.hash


def test_the_hash_does_not_cover_what_is_one_s_own() -> None:
    moved = tuple(replace(one, host="localhost", port=9) for one in TASK.present)
    assert replace(TASK, point=2, maintenance=(8, 9), seconds=5, present=moved).hash == TASK.hash


@pytest.mark.parametrize("field", sorted(TASK.to_fields()))
def test_a_missing_or_unknown_field_is_refused(field: str) -> None:
    fields = TASK.to_fields()
    with pytest.raises(EngineTaskInvalid, match="task: an object of"):
        EngineTask.from_fields({name: value for name, value in fields.items() if name != field})
    with pytest.raises(EngineTaskInvalid, match="task: an object of"):
        EngineTask.from_fields({**fields, field + "s": fields[field]})


@pytest.mark.parametrize(
    "changes",
    [{"present": {}}, {"present": [1]}, {"maintenance": "00"}, {"maintenance": [1]}, {"initial": ["0" * 63]}],
)
def test_a_field_of_another_form_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(EngineTaskInvalid, match=next(iter(changes))):
        EngineTask.from_fields({**TASK.to_fields(), **changes})


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b'{"a": 1, "a": 1}', b"1.0", b"NaN", b"\xff", b"[" * 100_000, b" " * (MAX_TASK_BYTES + 1)],
    ids=["empty", "open", "twice", "float", "constant", "bytes", "deep", "long"],
)
def test_json_is_strict_and_bounded(text: bytes) -> None:
    with pytest.raises(EngineTaskInvalid, match="JSON"):
        parse_json(text)
