"""Histories with a rotation of the identity key in the middle, before everybody who reads one."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from atomic_margin.service.audit.evidence import anchors, gather
from atomic_margin.service.audit.stored import ReadOnlyStore
from atomic_margin.service.errors import ArchiveInvalid, AttestationInvalid, Refused, SignatureInvalid
from atomic_margin.service.institution import rotation as own_rotation
from atomic_margin.service.institution.agent import Agent
from atomic_margin.service.operator import replay
from atomic_margin.service.operator.accounts import default_views, defaults, identities
from atomic_margin.service.protocol.account.entries import Entry, salted_hash
from atomic_margin.service.protocol.account.rotation_documents import rotation
from atomic_margin.service.protocol.archive import EARLIER_FILE
from atomic_margin.service.protocol.signing import Identity, SignedDocument
from atomic_margin.service.protocol.trust import TrustFile
from atomic_margin.service.verifier.attestation import verify_attestation
from atomic_margin.service.verifier.default import verify_default
from atomic_margin.service.verifier.netting import verify_netting
from atomic_margin.zk.groups import load_group

from .. import postgres
from .documents import FUND, Json
from .following import Follower, served
from .netting_sides import Sides
from .netting_sides import sides as sides
from .test_agent_log import clock as clock
from .test_agent_log import resident as resident
from .test_agent_log import residents as residents
from .test_agent_log import watched as watched
from .test_archive import changed, cut, lines, verified
from .test_archive_parts import rotated as rotated_fhe_keys
from .test_archive_parts import unproven as unproven
from .test_defaults import LOSS, sold
from .watching import Watch, history
from .waterfalls import RULES, USDC, agreed, agreement, capital, members, with_rules
from .world import World

pytestmark = pytest.mark.long

Open = Callable[[str], World]
EVENTS = f"/v1/institutions/{FUND}/events"


def replaced(world: World) -> Identity:
    """Let the fund replace its identity key; return the one from before."""
    fund, new = world.funds[FUND], Identity.generate()
    old, fund.identity = fund.identity, new
    identities.rotate(world.operator, FUND, rotation(FUND, world.key, world.head(), old, new).to_json())
    return old


def checked(world: World) -> None:
    with world.operator.store.unit_of_work() as session:
        replay.check(session, world.key)


def pinned(pins: Json, key: Identity) -> Json:
    """A trust file with another key of the fund."""
    return pins | {"institutions": {FUND: key.public_key}}


# Streams


def test_a_stream_ends_with_the_entry_that_replaces_its_key(world_at: Open) -> None:
    world = world_at("submitted")
    with served(world) as server:
        mine, staff = Follower(server.url, EVENTS, world.auth()), Follower(server.url, EVENTS, world.admin)
        assert mine.nothing()
        before = world.operator.account(FUND).entries
        replaced(world)
        world.deposit(FUND, "USDC", 5, "after")
        assert [event.name for event in mine.rest()] == ["identity rotated"]
        assert mine.error is None
        assert [event.name for event in staff.next(2)] == ["identity rotated", "deposited"]
        # The new key opens one that goes past the entry by which it came in force, and on.
        again = Follower(server.url, EVENTS, world.auth(), after=before)
        assert [event.name for event in again.next(2)] == ["identity rotated", "deposited"]
        world.deposit(FUND, "USDC", 6, "and on")
        assert [event.name for event in again.next(1)] == ["deposited"]
        for follower in (staff, again):
            follower.close()


def test_a_key_that_is_replaced_while_its_stream_opens_gets_none(
    world_at: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = world_at("submitted")
    old, account = world.auth(), world.operator.account

    def late(name: str) -> Any:
        monkeypatch.undo()
        replaced(world)
        return account(name)

    monkeypatch.setattr(world.operator, "account", late)
    refused = world.client.get(EVENTS, auth=old)
    assert (refused.status_code, refused.json()["type"]) == (401, "urn:atomic-margin:problem:key-replaced")


# Bundles


def test_bundles_of_runs_before_between_and_after(world_at: Open) -> None:
    world, group = world_at("submitted"), load_group()
    pins, keys, runs = world.trust(), [world.funds[FUND].identity], []
    for number in (1, 2, 3):
        run_id = world.play(1, sequence=str(number), as_of=f"2026-11-20T0{number}:00:00Z")
        runs.append(run_id)
        if number == 2:
            # While its run is open.
            replaced(world)
            keys.append(world.funds[FUND].identity)
        world.answer(run_id)
        if number == 2:
            replaced(world)
            keys.append(world.funds[FUND].identity)
    checked(world)
    for number, run_id in enumerate(runs):
        bundle = world.bundle(run_id)
        assert len(bundle["body"].get("rotations", ())) == number
        for place, key in enumerate(keys):
            trust = TrustFile.parse(pinned(pins, key))
            if place <= number:
                verify_attestation(bundle, trust, group)
                continue
            # It was made before there was this key.
            with pytest.raises(AttestationInvalid) as invalid:
                verify_attestation(bundle, trust, group)
            assert invalid.value.step == "enrolment"


# Archives and audits


class Rotated:
    """An account whose key was replaced twice, once while a run was open."""

    def __init__(self, world: World) -> None:
        self.world, self.pins = world, world.trust()
        self.keys = [world.funds[FUND].identity]
        self.runs = [world.play(1, as_of="2026-11-20T08:00:00Z")]
        world.answer(self.runs[0])
        self._replace()
        self.runs.append(world.play(2, sequence="2", as_of="2026-11-20T09:00:00Z"))
        self._replace()
        world.answer(self.runs[1])
        rotated_fhe_keys(world)
        self.runs.append(world.play(1, sequence="3", as_of="2026-11-20T10:00:00Z"))
        world.answer(self.runs[2])
        kinds = [stored.entry.body["kind"] for stored in world.entries()]
        self.last = len(kinds)
        self.at = [number for number, kind in enumerate(kinds, 1) if kind == "identity rotated"]

    def _replace(self) -> None:
        replaced(self.world)
        self.keys.append(self.world.funds[FUND].identity)

    def trust(self, number: int) -> Json:
        return pinned(self.pins, self.keys[number])


@pytest.mark.long
def test_an_archive_verifies_wherever_it_begins_and_ends(world_at: Open, unproven: None, tmp_path: Path) -> None:
    found = Rotated(world_at("submitted"))
    world, path = found.world, tmp_path / "a.zip"
    checked(world)
    for first in range(1, found.last + 1):
        cut(world, path, first)
        for number in range(3):
            assert verified(path, found.trust(number)).account == world.account()
    for end in range(1, found.last):
        cut(world, path, 1, end)
        for number in range(3):
            if sum(at <= end for at in found.at) >= number:
                assert verified(path, found.trust(number)).manifest.last == end
                continue
            with pytest.raises(ArchiveInvalid, match=r"do not lead over|had another identity") as invalid:
                verified(path, found.trust(number))
            assert invalid.value.step in ("manifest", "entries")


def test_an_archive_with_other_rotations_does_not_verify(world_at: Open, unproven: None, tmp_path: Path) -> None:
    found = Rotated(world_at("submitted"))
    world, path, (first, second, third) = found.world, tmp_path / "a.zip", found.keys
    thief = Identity.generate()

    def step(change: Callable[[list[Json]], None], signer: Identity = world.operator.identity) -> str:
        other = changed(path, tmp_path / "b.zip", signer, lambda files: lines(files, EARLIER_FILE, change))
        with pytest.raises(ArchiveInvalid) as invalid:
            verified(other, found.pins)
        return invalid.value.step

    def nothing(items: list[Json]) -> None:
        pass

    cut(world, path, found.last)
    assert step(lambda items: items.pop(0)) == "manifest"
    assert step(lambda items: items.pop(1)) == "opening"
    to_thief = rotation(FUND, world.key, "1a" * 32, first, thief).to_json()
    assert step(lambda items: items.__setitem__(slice(0, 2), [to_thief])) == "opening"
    # One that nobody entered, by the key in force even.
    assert (
        step(lambda items: items.insert(2, rotation(FUND, world.key, "1a" * 32, third, thief).to_json())) == "entries"
    )
    # Whose archive it is says the key in force.
    for key in (first, second, thief):
        assert step(nothing, key) == "manifest"
    own = changed(path, tmp_path / "c.zip", third, lambda files: None)
    assert verified(own, found.pins).signed_by == "institution"

    def by_the_next(items: list[Json]) -> None:
        at = next(at for at, item in enumerate(items) if item["type"] == "submission")
        items[at] = second.sign("submission", items[at]["body"]).to_json()

    # What is from before the first entry, and has the signature of a key that came later.
    cut(world, path, found.at[0])
    assert step(by_the_next) == "opening"


def test_an_audit_takes_runs_of_every_key(world_at: Open) -> None:
    found = Rotated(world_at("submitted"))
    world, store = found.world, ReadOnlyStore(found.world.directory, postgres.url_of(found.world.directory))
    try:
        for run_id in found.runs:
            for trust in (None, *(TrustFile.parse(found.trust(number)) for number in range(3))):
                assert gather(store, run_id, anchors(world.directory, trust)).record.run_id == run_id
            stranger = TrustFile.parse(pinned(found.pins, Identity.generate()))
            with pytest.raises((SignatureInvalid, Refused)):
                gather(store, run_id, anchors(world.directory, stranger))
    finally:
        store.close()


# Released histories


def test_a_released_history_leads_over_rotations(
    world_at: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = world_at("calm-done")
    first = world.funds[FUND].identity
    replaced(world)
    world.answer(world.play(1, sequence="2", as_of="2026-11-20T09:00:00Z"))
    value = history(world)
    at = next(at for at, item in enumerate(value["entries"]) if item["entry"]["body"]["kind"] == "identity rotated")

    def watch(name: str, key: Identity) -> Watch:
        (tmp_path / name).mkdir()
        return Watch(world, tmp_path / name, monkeypatch, institutions={FUND: key.public_key})

    for name, key in (("first", first), ("newest", world.funds[FUND].identity)):
        assert watch(name, key).holds(value)["entries"] == str(len(world.entries()))
    assert "do not lead over the key" in watch("stranger", Identity.generate()).refused(value)
    # Its document is not among those that stay with the institution.
    hidden = copy.deepcopy(value)
    for name in ("document", "document_salt"):
        hidden["entries"][at].pop(name)
    assert watch("hidden", first).refused(hidden)
    # An operator that puts another key there, and signs the entry: nobody's key signed that.
    thief = Identity.generate()
    bent = copy.deepcopy(value)
    item = bent["entries"][at]
    item["public"] = item["public"] | {"identity": thief.public_key}
    assert watch("bent", first).refused(bent)


# Defaults


def test_a_default_goes_on_under_another_key(world_at: Open) -> None:
    world = with_rules(world_at("crash-open"))
    members(world, **{FUND: 500 * USDC, "harbour": 2_000 * USDC, "curlew": 1_000 * USDC})
    trust = {name: value for name, value in world.trust().items() if name != "institutions"} | {
        "waterfall": RULES.hash()
    }
    world.answer(f"{FUND}.4")
    old = replaced(world)
    sold(world, 7_000_000)
    new, world.funds[FUND].identity = world.funds[FUND].identity, old
    with pytest.raises(SignatureInvalid):
        defaults.ask_to_agree(world.operator, FUND, agreement(world, LOSS).to_json())
    world.funds[FUND].identity = new
    agreed(world, LOSS)
    sold(world, 7_000_000, "trade-2")
    capital(world)
    defaults.close_out(world.operator, FUND)
    checked(world)
    file: Json = default_views.default_view(world.operator, FUND).evidence
    for key in (old, new):
        report = verify_default(file, TrustFile.parse(pinned(trust, key)))
        assert report.closed is not None
        assert report.closed.loss == LOSS

    def step(change: Json, key: Identity = old) -> str:
        with pytest.raises(AttestationInvalid) as invalid:
            verify_default({**file, **change}, TrustFile.parse(pinned(trust, key)))
        return invalid.value.step

    assert step({"rotations": []}, new) == "liquidation"
    assert step({"rotations": []}) == "loss"
    assert step({}, Identity.generate()) == "trust anchors"
    thief = rotation(FUND, world.key, "1a" * 32, old, Identity.generate()).to_json()
    assert step({"rotations": [thief]}) == "loss"


# Netting


def rotate(sides: Sides) -> Identity:
    """Stop the agent, replace its key, and start it again; return the key from before."""
    watched = sides.watched
    old, settings = watched.agent.identity, watched.agent.settings
    watched.agent.close()
    own_rotation.rotate(watched.resident.folder, lambda: Agent(settings))
    watched.agent = watched.resident._agent = Agent(settings, watched.stages.append)
    return old


def entered_anew(sides: Sides, one: Json, document: SignedDocument) -> Json:
    """Let the operator sign that an entry is about another document."""
    about = {"document": salted_hash(one["salt"], document.canonical())}
    entry = Entry.parse(one["entry"]["body"] | about).signed_by(sides.world.operator.identity)
    return one | {"document": document.to_json(), "entry": entry.to_json()}


@pytest.mark.long
def test_a_cycle_of_promises_under_two_keys(sides: Sides) -> None:
    sides.promise(300)
    old = rotate(sides)
    sides.promise(50)
    new = sides.agent.identity
    sides.promise_west()
    sides.net()
    sides.round()
    file, pins = sides.file(), sides.trust
    assert [one["document"]["signer"] for one in file["obligations"]] == [old.public_key, new.public_key]
    newest = pins.model_copy(update={"institutions": {FUND: new.public_key}})
    for trust in (pins, newest):
        assert verify_netting(file, trust).netting.cycle == 1

    def step(change: Json, trust: TrustFile = pins) -> str:
        with pytest.raises(AttestationInvalid) as invalid:
            verify_netting({**file, **change}, trust)
        return invalid.value.step

    assert step({"rotations": []}) == "obligations"
    # An operator that enters with a thief what the replaced key signs later, or dates the new key back.
    for at, key in ((1, old), (0, new)):
        promised = copy.deepcopy(file["obligations"])
        promised[at] = entered_anew(sides, promised[at], key.sign("obligation", promised[at]["document"]["body"]))
        assert step({"obligations": promised}) == "obligations"
        assert step({"obligations": promised}, newest) == "obligations"
    # A rotation in an entry of another kind, or in none.
    (one,) = file["rotations"]
    document = SignedDocument.parse(one["document"])
    moved = entered_anew(sides, copy.deepcopy(file["obligations"][0]), document)
    assert step({"rotations": [moved]}) == "obligations"
    assert step({"rotations": [one | {"salt": "1a" * 32}]}) == "obligations"
