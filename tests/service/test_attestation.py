"""Bundles: the story's verify, and nothing in one can be changed without a step saying so."""

import copy
import random
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from atomic_margin.documents.errors import DocumentError
from atomic_margin.service.errors import AttestationInvalid
from atomic_margin.service.protocol.signing import Identity, SignedDocument
from atomic_margin.service.protocol.ticks import PriceTick
from atomic_margin.service.protocol.trust import TrustFile
from atomic_margin.service.protocol.verification import VerifiedBreach, VerifiedCoverage
from atomic_margin.service.verifier.attestation import Report, verify_attestation
from atomic_margin.zk.groups import Group

from .bundles import STEPS, step_that_fails
from .documents import FUND, Json
from .stages import Stages
from .world import World

pytestmark = pytest.mark.usefixtures("proofs_checked_once")

H = "1a" * 32


@pytest.mark.parametrize(
    ("name", "result", "kind"),
    [
        ("calm", VerifiedCoverage, None),
        ("fall", VerifiedBreach, "margin_call"),
        ("crash", VerifiedBreach, "liquidation"),
    ],
)
def test_the_bundles_of_the_story_verify(
    stages: Stages, trust: TrustFile, group: Group, name: str, result: type, kind: str | None
) -> None:
    seen: list[str] = []
    report: Report = verify_attestation(stages.bundles[name], trust, group, seen.append)
    assert seen == report.steps == STEPS
    assert isinstance(report.result, result)
    assert (report.settlement.kind if report.settlement else None) == kind
    assert report.record is not None
    assert report.record.institution == FUND


def leaves(value: object, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every leaf; of a list only its first and last element."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, (*path, key))
    elif isinstance(value, list):
        for index in sorted({0, len(value) - 1}) if value else ():
            yield from leaves(value[index], (*path, index))
    else:
        yield path


def nodes(value: object, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every object; of a list only the first element."""
    if isinstance(value, dict):
        yield path
        for key, item in value.items():
            yield from nodes(item, (*path, key))
    elif isinstance(value, list) and value:
        yield from nodes(value[0], (*path, 0))


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for part in path:
        value = value[part]
    return value


def with_value(bundle: Json, path: tuple[Any, ...], change: Callable[[Any], Any]) -> Json:
    """Return the bundle with one leaf changed; only what lies on the path is copied."""
    if not path:
        return change(bundle)  # type: ignore[no-any-return]
    copied: Any = copy.copy(bundle)
    copied[path[0]] = with_value(bundle[path[0]], path[1:], change)
    return copied  # type: ignore[no-any-return]


def another(value: Any) -> Any:
    """Return a value of the same form, as near as possible."""
    if value is None:
        return "BTC"
    text = str(value)
    if re.fullmatch(r"[0-9a-f]{40,}", text):
        return text[:-1] + ("0" if text[-1] != "0" else "1")
    if re.fullmatch(r"-?[0-9]+(,-?[0-9]+)+", text):
        first, _, rest = text.partition(",")
        return f"{int(first) - 1},{rest}"
    if re.fullmatch(r"-?[0-9]+", text):
        return str(int(text) + 1)
    if re.fullmatch(r"-?[0-9]+\.[0-9]+", text):
        return text[:-1] + ("1" if text[-1] != "1" else "2")
    if re.fullmatch(r"[0-9T:-]+Z", text):
        return text[:-3] + ("01Z" if text[-3:] != "01Z" else "02Z")
    return {"long": "short", "call": "put", "free": "posted"}.get(text, text + "x")


OUTER = {("type",), ("signer",), ("signature",)}


def check_leaves(bundle: Json, trust: TrustFile, group: Group, part: tuple[Any, ...]) -> None:
    """Change some leaves of a part of a bundle; the seed makes it the same every time."""
    paths = [(*part, *path) for path in leaves(at(bundle, part))]
    check_paths(bundle, trust, group, random.Random(str(part)).sample(paths, min(24, len(paths))))


def check_every(stages: Stages, trust: TrustFile, group: Group, name: str, paths: list[tuple[Any, ...]]) -> None:
    check_paths(stages.bundles[name], trust, group, paths)


def check_paths(bundle: Json, trust: TrustFile, group: Group, paths: list[tuple[Any, ...]]) -> None:
    accepted, late = [], []
    for path in paths:
        changed = with_value(bundle, path, another)
        assert at(changed, path) != at(bundle, path)
        try:
            verify_attestation(changed, trust, group)
        except AttestationInvalid as error:
            # What is inside is caught by its own step, not only by the signature over the whole.
            if error.step == "attestation" and path not in OUTER:
                late.append(path)
        else:
            accepted.append(path)
    assert accepted == []
    assert late == []


@pytest.mark.parametrize("name", ["calm", "fall", "crash"])
def test_a_changed_leaf_is_found(stages: Stages, trust: TrustFile, group: Group, name: str) -> None:
    """A sample of every part of the bundle; the whole is below. The seed makes it the same every time."""
    parts: dict[Any, list[tuple[Any, ...]]] = {}
    for path in leaves(stages.bundles[name]):
        parts.setdefault(path[1] if len(path) > 1 else None, []).append(path)
    chance = random.Random(name)
    chosen = [path for paths in parts.values() for path in chance.sample(paths, min(6, len(paths)))]
    check_every(stages, trust, group, name, chosen)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["calm", "fall", "crash"])
def test_every_changed_leaf_is_found(stages: Stages, trust: TrustFile, group: Group, name: str) -> None:
    check_every(stages, trust, group, name, list(leaves(stages.bundles[name])))


def accepts(bundle: Json, trust: TrustFile, group: Group) -> bool:
    try:
        verify_attestation(bundle, trust, group)
    except AttestationInvalid:
        return False
    return True


def test_removed_and_added_fields_are_found(stages: Stages, trust: TrustFile, group: Group) -> None:
    bundle = stages.bundles["fall"]
    accepted = []
    for path in nodes(bundle):
        keys = list(at(bundle, path))
        for key in {*keys[:3], *keys[-1:]}:
            cut = with_value(bundle, path, lambda node, key=key: {k: v for k, v in node.items() if k != key})
            if accepts(cut, trust, group):
                accepted.append((path, key))
        for extra in ("1", None):
            more = with_value(bundle, path, lambda node, extra=extra: {**node, "added": extra})
            if accepts(more, trust, group):
                accepted.append((path, "added"))
    assert accepted == []


@pytest.mark.parametrize("value", [None, [], "text", {}, {"type": "attestation"}, True], ids=str)
def test_what_is_no_bundle_fails_in_format(value: object, trust: TrustFile, group: Group) -> None:
    assert step_that_fails(value, trust, group) == "format"


@pytest.mark.parametrize("place", ["model", "tick", "run"])
def test_half_of_a_surrogate_pair_fails_in_a_step(stages: Stages, trust: TrustFile, group: Group, place: str) -> None:
    for key, value in (("added", "\ud800"), ("\ud800", "added")):
        changed = with_value(stages.bundles["fall"], ("body", place), lambda node, k=key, v=value: {**node, k: v})
        step_that_fails(changed, trust, group)


def test_a_bundle_made_anew_by_strangers_fails(stages: Stages, trust: TrustFile, group: Group) -> None:
    """The same story with fresh keys is consistent in itself, and convinces only who trusts those keys."""
    body = copy.deepcopy(stages.bundles["calm"]["body"])
    stranger = Identity.generate()
    tick = body["tick"]["body"]
    tick["prices"] = [stranger.sign("price", price["body"]).to_json() for price in tick["prices"]]
    for name in ("tick", "submission", "run", "answer"):
        body[name] = stranger.sign(body[name]["type"], body[name]["body"]).to_json()
    assert step_that_fails(stranger.sign("attestation", body).to_json(), trust, group) == "price tick"


def retold(body: Json, operator: Identity, changes: Callable[[Json, Json], None]) -> Json:
    """The bundle of an operator that tells another tick before: both ticks, the record and the whole signed anew."""
    body = copy.deepcopy(body)
    tick, before = body["tick"]["body"], body["last_market"]["body"]
    changes(tick, before)
    body["last_market"] = operator.sign("tick", before).to_json()
    body["tick"] = operator.sign("tick", tick).to_json()
    record = body["run"]["body"] | {"tick": SignedDocument.parse(body["tick"]).body_hash()}
    body["run"] = operator.sign("run", record).to_json()
    return operator.sign("attestation", body).to_json()


def another_before(tick: Json, before: Json) -> None:
    """The same prices, said to have arrived a second later: another tick, which the sources did not name."""
    before["received_at"] = "2026-11-20T08:00:09Z"
    tick["previous"] = tick["last_market"] = PriceTick.parse(before).hash()


def void_between(tick: Json, before: Json) -> None:
    tick["previous"] = H


def nothing_before(tick: Json, before: Json) -> None:
    tick["last_market"] = "0" * 64


def other_rules(tick: Json, before: Json) -> None:
    tick["rules"] = before["rules"] = H
    tick["previous"] = tick["last_market"] = PriceTick.parse(before).hash()


@pytest.mark.parametrize("changes", [another_before, void_between, nothing_before, other_rules])
def test_a_tick_that_its_sources_did_not_sign_after_the_one_before_fails(
    stages: Stages,
    world_at: Callable[[str], World],
    trust: TrustFile,
    group: Group,
    changes: Callable[[Json, Json], None],
) -> None:
    operator = world_at("crash-done").operator.identity
    assert step_that_fails(retold(stages.bundles["fall"]["body"], operator, changes), trust, group) == "price tick"


def test_the_tick_before_goes_along_or_the_bundle_fails(
    stages: Stages, world_at: Callable[[str], World], trust: TrustFile, group: Group
) -> None:
    operator, body = world_at("crash-done").operator.identity, stages.bundles["fall"]["body"]
    without = {name: part for name, part in body.items() if name != "last_market"}
    own = {**body, "last_market": body["tick"]}
    for changed in (without, own):
        assert step_that_fails(operator.sign("attestation", changed).to_json(), trust, group) == "price tick"


@pytest.mark.parametrize(
    ("name", "step"),
    [("tick", "run record"), ("last_market", "run record"), ("run", "run record"), ("submission", "submission"),
     ("answer", "answer"), ("settlement", "settlement")],
)  # fmt: skip
def test_a_part_signed_by_a_stranger_fails(
    stages: Stages, world_at: Callable[[str], World], trust: TrustFile, group: Group, name: str, step: str
) -> None:
    operator, stranger = world_at("crash-done").operator.identity, Identity.generate()
    body = dict(stages.bundles["fall"]["body"])
    body[name] = stranger.sign(body[name]["type"], body[name]["body"]).to_json()
    assert step_that_fails(operator.sign("attestation", body).to_json(), trust, group) == step


@pytest.mark.parametrize("name", ["tick", "run", "answer", "settlement"])
def test_a_part_of_another_bundle_fails(
    stages: Stages, world_at: Callable[[str], World], trust: TrustFile, group: Group, name: str
) -> None:
    operator = world_at("crash-done").operator.identity
    body = {**stages.bundles["fall"]["body"], name: stages.bundles["crash"]["body"][name]}
    step_that_fails(operator.sign("attestation", body).to_json(), trust, group)


def test_only_the_operator_signs_the_whole(stages: Stages, trust: TrustFile, group: Group) -> None:
    body = stages.bundles["fall"]["body"]
    for signer in (Identity.generate(), stages.funds[FUND].identity, stages.source):
        assert step_that_fails(signer.sign("attestation", body).to_json(), trust, group) == "attestation"


@pytest.mark.parametrize(
    ("field", "step"),
    [
        ("operator", "run record"),
        ("prices", "price tick"),
        ("institutions", "enrolment"),
        ("keys", "enrolment"),
        ("model", "trust anchors"),
        ("universe", "trust anchors"),
        ("schedule", "trust anchors"),
        ("profile", "trust anchors"),
        ("generators", "trust anchors"),
    ],
)
def test_another_anchor_fails(stages: Stages, group: Group, field: str, step: str) -> None:
    prices = {**stages.trust["prices"], "sources": [H]}
    other: Any = {"prices": prices, "institutions": {FUND: H}, "keys": {FUND: [H]}}.get(field, H)
    trust = TrustFile.parse({**stages.trust, field: other})
    assert step_that_fails(stages.bundles["fall"], trust, group) == step


def test_no_anchor_fails(stages: Stages, group: Group) -> None:
    trust = TrustFile.parse({**stages.trust, "institutions": {}})
    assert step_that_fails(stages.bundles["fall"], trust, group) == "enrolment"
    trust = TrustFile.parse({**stages.trust, "keys": {}})
    assert step_that_fails(stages.bundles["fall"], trust, group) == "enrolment"
    with pytest.raises(DocumentError, match="at least one"):
        TrustFile.parse({**stages.trust, "prices": {**stages.trust["prices"], "sources": []}})
