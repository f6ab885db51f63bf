"""A task: what all present custodians must have alike, and what is one custodian's own. Plain data.

Its hash covers everything public that decides the result: the request, the rows, threshold, bit length, numbers of
rows, points and identities. Each process shows the hash in its certificate, so one of an older opening, or with other
rows, is noticed before anything is computed. Addresses are not covered: they may look different from each place.
"""

import json
import re
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from atomic_margin.documents.canonical import canonical_hash
from atomic_margin.documents.ed25519 import fault_of
from atomic_margin.service.custodian.engine.errors import EngineTaskInvalid
from atomic_margin.service.custodian.engine.shapes import canonical_shapes, check_shapes, read_shapes, shape_fields
from atomic_margin.service.custodian.engine.slack import Shape
from atomic_margin.zk.groups import ORDER

TAG = "custodian-engine"
MAX_ROWS = 256
"""Rows of each kind."""
MAX_SLACK_ROWS = 1024
"""Of a model with slack, validity rows among them."""
MAX_PARTIES = 16
MAX_BITS = 48
MAX_SECONDS = 600
MAX_POINT = 65_535
MAX_TASK_BYTES = 1 << 20
MAX_DEPTH = 64
_BRACKET = re.compile(rb"[\[\]{}]")
_HASH = re.compile(r"[0-9a-f]{64}")
_HOST = re.compile(r"[A-Za-z0-9.:_-]{1,253}")


@dataclass(frozen=True)
class Present:
    """A custodian that takes part: evaluation point, where its engine listens, and its identity key in hex."""

    point: int
    host: str
    port: int
    identity: str


@dataclass(frozen=True)
class EngineTask:
    """What one custodian's engine is started with. No share appears in its ``repr``.

    Attributes:
        request: hash of the request of this opening, new for each try: a second one is another task.
        rows: hash of what the rows are: the deal, and A and c of both kinds.
        threshold: t of the deal; at least 2 t - 1 custodians are present.
        bits: every row is an integer of so many bits, with sign: from -2^(bits - 1) to 2^(bits - 1) - 1.
        point: this custodian's.
        present: all that take part, by ascending point; this one's address is where it listens.
        maintenance: its shares of the maintenance rows, modulo r.
        initial: its shares of the initial rows, modulo r.
        seconds: the computation ends by then, with a verdict or without.
        slack: of a model with slack, its shape in the maintenance and in the initial rows, which then are all rows of
            the exact matrices.

    Raises:
        EngineTaskInvalid: naming the field that is not so.
    """

    request: str
    rows: str
    threshold: int
    bits: int
    point: int
    present: tuple[Present, ...]
    maintenance: tuple[int, ...] = field(repr=False)
    initial: tuple[int, ...] = field(repr=False)
    seconds: int = 60
    slack: tuple[Shape, Shape] | None = None

    def __post_init__(self) -> None:
        for name in ("request", "rows"):
            _require(_matches(_HASH, getattr(self, name)), f"{name}: 64 hex digits are wanted")
        _integer("threshold", self.threshold, 2, (MAX_PARTIES + 1) // 2)
        _integer("bits", self.bits, 2, MAX_BITS)
        _integer("seconds", self.seconds, 1, MAX_SECONDS)
        wanted = 2 * self.threshold - 1
        _integer("present: their number", len(self.present), wanted, MAX_PARTIES)
        for one in self.present:
            _integer("present: a point", one.point, 1, MAX_POINT)
            _integer("present: a port", one.port, 1, 65_535)
            _require(_matches(_HOST, one.host), "present: a host is a name or an address")
            _require(_matches(_HASH, one.identity), "present: an identity is 64 hex digits")
            _require(fault_of(one.identity) is None, f"present: the identity of point {one.point} is no public key")
        points = [one.point for one in self.present]
        _require(points == sorted(set(points)), "present: points ascend, each once")
        _require(len({one.identity for one in self.present}) == len(points), "present: an identity occurs twice")
        _require(self.point in points, "point: not among those present")
        for name in ("maintenance", "initial"):
            shares = getattr(self, name)
            _integer(f"{name}: the number of rows", len(shares), 1, MAX_ROWS if self.slack is None else MAX_SLACK_ROWS)
            for share in shares:
                # The message must not have the number.
                _require(type(share) is int and 0 <= share < ORDER, f"{name}: a share is an integer below the order")
        if self.slack is not None:
            check_shapes(self.slack, (len(self.maintenance), len(self.initial)))

    @property
    def hash(self) -> str:
        """What all present must have alike, in 64 hex digits."""
        counts = {"maintenance": len(self.maintenance), "initial": len(self.initial)}
        slack = {} if self.slack is None else {"slack": canonical_shapes(self.slack)}
        return canonical_hash(
            TAG,
            {
                "format": "atomic-margin/custodian-engine/1",
                "request": self.request,
                "rows": self.rows,
                "threshold": str(self.threshold),
                "bits": str(self.bits),
                "counts": {name: str(number) for name, number in counts.items()},
                "present": [{"point": str(one.point), "identity": one.identity} for one in self.present],
                **slack,
            },
        )

    @property
    def index(self) -> int:
        """This custodian's place among those present, from 0."""
        return [one.point for one in self.present].index(self.point)

    def to_fields(self) -> dict[str, Any]:
        """Return the task as plain JSON values; `from_fields` takes them."""
        slack = {} if self.slack is None else {"slack": [shape_fields(shape) for shape in self.slack]}
        return {
            **slack,
            "request": self.request,
            "rows": self.rows,
            "threshold": self.threshold,
            "bits": self.bits,
            "point": self.point,
            "present": [vars(one) for one in self.present],
            "maintenance": [f"{share:064x}" for share in self.maintenance],
            "initial": [f"{share:064x}" for share in self.initial],
            "seconds": self.seconds,
        }

    @classmethod
    def from_fields(cls, value: object) -> "EngineTask":
        """Read what `to_fields` returned.

        Raises:
            EngineTaskInvalid: naming the field that is missing, unknown or wrong.
        """
        names = set(cls.__dataclass_fields__) - {"slack"}
        if isinstance(value, dict) and "slack" in value:
            names.add("slack")
        fields = _object("task", value, names)
        present = tuple(
            Present(**_object("present", one, {"point", "host", "port", "identity"}))
            for one in _list("present", fields["present"])
        )
        shares = {
            name: tuple(_share(name, one) for one in _list(name, fields[name])) for name in ("maintenance", "initial")
        }
        slack = {"slack": read_shapes(fields["slack"])} if "slack" in fields else {}
        return cls(**{**fields, "present": present, **shares, **slack})


@dataclass(frozen=True)
class Verdict:
    """What leaves the computation. Indexes are from 0, the lowest of equal rows; None unless there is a breach.

    Attributes:
        breach: whether a maintenance row is negative.
        maintenance_row: the least of them; of a model with slack, its index in the exact matrix.
        initial_row: likewise.
        maintenance_chosen: of a model with slack, the validity rows that certify the row
            (`margin.rows.active_pieces.certificate_by`).
        initial_chosen: likewise.
    """

    breach: bool
    maintenance_row: int | None = None
    initial_row: int | None = None
    maintenance_chosen: tuple[int, ...] | None = None
    initial_chosen: tuple[int, ...] | None = None

    def to_fields(self) -> dict[str, Any]:
        """Return plain JSON values; what was chosen is left out where there is no slack."""
        return {name: value for name, value in vars(self).items() if value is not None or not name.endswith("_chosen")}


def parse_json(text: bytes) -> object:
    """Return what strict JSON of bounded size holds: no key twice, no number that is not an integer.

    Raises:
        EngineTaskInvalid: it is none.
    """
    _require(len(text) <= MAX_TASK_BYTES, f"JSON of {MAX_TASK_BYTES} bytes at most is wanted")
    # Deeper text is not even parsed: a library may have raised Python's own limit, and then the stack is too small.
    _require(_depth(text) <= MAX_DEPTH, f"JSON nested {MAX_DEPTH} deep at most is wanted")
    try:
        return json.loads(text, object_pairs_hook=_once, parse_float=_refused, parse_constant=_refused)
    except (ValueError, RecursionError):
        raise EngineTaskInvalid("JSON is wanted, with each key once and integers alone") from None


def _depth(text: bytes) -> int:
    """Return how deep brackets are nested; those in strings count too, which no task has many of."""
    steps = (1 if found[0] in b"[{" else -1 for found in _BRACKET.finditer(text))
    return max(accumulate(steps), default=0)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice")
    return found


def _refused(text: str) -> float:
    raise ValueError(text)


def _object(name: str, value: object, keys: set[str]) -> dict[str, Any]:
    _require(
        isinstance(value, dict) and value.keys() == keys, f"{name}: an object of {', '.join(sorted(keys))} is wanted"
    )
    assert isinstance(value, dict)  # noqa: S101  for the type checker
    return value


def _list(name: str, value: object) -> list[Any]:
    if not isinstance(value, list):
        raise EngineTaskInvalid(f"{name}: a list is wanted")
    return value


def _share(name: str, value: object) -> int:
    _require(_matches(_HASH, value), f"{name}: a share is 64 hex digits")
    return int(str(value), 16)


def _matches(pattern: "re.Pattern[str]", value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _integer(name: str, value: object, low: int, high: int) -> None:
    _require(type(value) is int and low <= value <= high, f"{name}: an integer from {low} to {high} is wanted")


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise EngineTaskInvalid(message)
