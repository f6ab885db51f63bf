"""An institution replaces its identity key: at the operator, in its directory, and for everybody who follows."""

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest

from atomic_margin.service.errors import (
    AgentRefused,
    AttestationInvalid,
    ConfigurationError,
    Conflict,
    HistoryDiffers,
    OperatorBehind,
    RemoteError,
    SignatureInvalid,
)
from atomic_margin.service.institution import rotation
from atomic_margin.service.institution.export import exported
from atomic_margin.service.institution.permanent import advice
from atomic_margin.service.operator import replay
from atomic_margin.service.operator.accounts import enrolment, identities, readers
from atomic_margin.service.operator.store import behind
from atomic_margin.service.operator.store.tables import Account, ReplacedKey
from atomic_margin.service.operator.taking_back import take_back
from atomic_margin.service.protocol.account.errors import EntryUnsent, OutOfSequence, WrongSigner
from atomic_margin.service.protocol.account.events import Readers
from atomic_margin.service.protocol.account.rotation_documents import rotation as signed_rotation
from atomic_margin.service.protocol.signing import Identity
from atomic_margin.service.protocol.trust import TrustFile
from atomic_margin.service.verifier.attestation import verify_attestation
from atomic_margin.zk.groups import load_group

from .documents import FUND
from .resident import Resident, Residents
from .rounds import lose, mend
from .rounds import proving as proving
from .rounds import resident as resident
from .rounds import residents as residents
from .test_taking_back import restore

pytestmark = pytest.mark.long


def rotate(resident: Resident, adopt: bool = False) -> str:
    """Stop the agent, replace the key as the command does, and start the agent again."""
    if resident._agent is not None:
        resident._agent.close()
        resident._agent = None
    return rotation.rotate(resident.folder, resident.started, adopt)


def key_in(folder: Path) -> str:
    return Identity.load_or_create(folder / "identity.key").public_key


def document(resident: Resident, new: Identity, **changes: Any) -> Any:
    world = resident.world
    body = {"institution": FUND, "operator": world.key, "entry": world.head(), "old": world.funds[FUND].identity}
    return signed_rotation(**body | {"new": new} | changes).to_json()


def checked(resident: Resident) -> None:
    with resident.world.operator.store.unit_of_work() as session:
        replay.check(session, resident.world.key)


def test_the_account_goes_on_under_the_new_key(resident: Resident) -> None:
    resident.agent.answer_due()
    old = key_in(resident.folder)
    new = rotate(resident)
    assert new == key_in(resident.folder) != old
    assert rotation.next_identity(resident.folder) is None
    assert (resident.state.public.identity, resident.state.public.former) == (new, (old,))
    assert resident.world.operator.account(FUND).identity == new
    # Under the trust file that names the first key.
    run_id = resident.world.play(1)
    assert resident.agent.answer_due() == [run_id]
    assert resident.answers[-1].document["signer"] == new
    checked(resident)
    third = rotate(resident)
    assert resident.state.public.former == (old, new)
    assert resident.agent.answer_due() == []
    assert key_in(resident.folder) == third


def test_requests_of_the_old_key_open_nothing(resident: Resident) -> None:
    world, old = resident.world, resident.world.funds[FUND].identity
    # Somebody named it a reader too.
    resident.agent.name_reader("own", old.public_key)
    path = f"/v1/institutions/{FUND}/entries"
    assert world.client.get(path, auth=world.signed_by(old)).status_code == 200
    rotate(resident)
    for place in (path, "/v1/attestations", f"/v1/institutions/{FUND}"):
        refused = world.client.get(place, auth=world.signed_by(old))
        assert (refused.status_code, "was replaced" in refused.text) == (401, True)
    assert world.client.get(path, auth=world.signed_by(resident.agent.identity)).status_code == 200


def test_what_the_old_key_signed_is_not_entered_any_more(resident: Resident) -> None:
    world, old = resident.world, resident.world.funds[FUND].identity
    again = document(resident, Identity.generate())
    rotate(resident)
    with pytest.raises(SignatureInvalid):
        identities.rotate(world.operator, FUND, again)
    with world.operator.store.unit_of_work() as session:
        assert session.get_one(ReplacedKey, old.public_key).institution == FUND
    body = {"institution": FUND, "operator": world.key, "sequence": "1", "entry": world.head(), "readers": []}
    with pytest.raises(SignatureInvalid):
        readers.name_readers(world.operator, FUND, Readers.parse(body).signed_by(old).to_json())


def test_a_rotation_is_taken_over_http_from_the_old_key_alone(resident: Resident) -> None:
    world, new, path = resident.world, Identity.generate(), f"/v1/institutions/{FUND}/identity"
    good = document(resident, new)
    assert world.client.post(path, json=good).status_code == 401
    assert world.client.post(path, json=good, auth=world.signed_by(new)).status_code == 401
    taken = world.client.post(path, json=good, auth=world.auth())
    assert (taken.status_code, taken.json()["body"]["kind"]) == (201, "identity rotated")
    # The same once more, by who may ask now.
    assert world.client.post(path, json=good, auth=world.signed_by(new)).json() == taken.json()


def test_a_key_of_somebody_else_is_not_taken(resident: Resident) -> None:
    world = resident.world
    other, later = world.admit("other").identity, Identity.generate()
    with pytest.raises(Conflict, match="another institution"):
        identities.rotate(world.operator, FUND, document(resident, other))
    turn = {"institution": "other", "entry": world.head("other"), "old": other}
    identities.rotate(world.operator, "other", document(resident, later, **turn))
    # Neither one that somebody had, and nobody is admitted under it.
    with pytest.raises(Conflict, match="another institution"):
        identities.rotate(world.operator, FUND, document(resident, other))
    with pytest.raises(Conflict, match="another institution"):
        enrolment.admit(world.operator, "third", "Third", other.public_key, world.allowances)


def test_a_rotation_of_elsewhere_is_not_taken(resident: Resident) -> None:
    world, new = resident.world, Identity.generate()
    for changes, error in (
        ({"operator": "9a" * 32}, WrongSigner),
        ({"institution": "other"}, WrongSigner),
        ({"entry": "1a" * 32}, OutOfSequence),
        ({"old": Identity.generate()}, SignatureInvalid),
    ):
        with pytest.raises(error):
            identities.rotate(world.operator, FUND, document(resident, new, **changes))
    checked(resident)


@pytest.mark.parametrize("lost", ["request", "reply"])
def test_a_rotation_whose_line_is_cut_goes_on(resident: Resident, lost: str) -> None:
    resident.agent.answer_due()
    old = key_in(resident.folder)
    lose(resident, "/identity", lost)
    with pytest.raises(RemoteError):
        rotate(resident)
    begun = rotation.next_identity(resident.folder)
    assert begun is not None
    assert key_in(resident.folder) == old
    mend(resident)
    # Its agent goes on with whichever is in force, and the command ends with the key that was begun.
    run_id = resident.world.play(1)
    assert resident.agent.answer_due() == [run_id]
    assert rotate(resident) == begun.public_key == key_in(resident.folder) if lost == "request" else True
    assert key_in(resident.folder) == begun.public_key
    assert resident.state.public.former == (old,)


def test_a_crash_leaves_both_keys_or_the_new_one(resident: Resident, monkeypatch: pytest.MonkeyPatch) -> None:
    old = key_in(resident.folder)

    def crash(_: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as other:
        other.setattr(rotation, "swap", crash)
        with pytest.raises(KeyboardInterrupt):
            rotate(resident)
    assert key_in(resident.folder) == old
    new = rotate(resident)
    assert (new, resident.state.public.former) == (key_in(resident.folder), (old,))
    # What is left of a key that was never whole is thrown away.
    (resident.folder / "identity.key.next.part").write_bytes(b"x")
    assert rotate(resident) != new


def test_an_operator_that_says_so_without_an_entry_swaps_nothing(
    resident: Resident, monkeypatch: pytest.MonkeyPatch
) -> None:
    resident.agent.answer_due()
    resident.agent.close()
    resident._agent = None
    old, new = key_in(resident.folder), rotation.make_next(resident.folder)
    with resident.world.operator.store.unit_of_work() as session:
        session.get_one(Account, FUND).identity = new.public_key
    with pytest.raises(AgentRefused, match="is under the identity key"):
        resident.started()
    assert (key_in(resident.folder), rotation.next_identity(resident.folder) is None) == (old, False)
    with resident.world.operator.store.unit_of_work() as session, pytest.raises(HistoryDiffers, match="identity"):
        replay.check(session, resident.world.key)


def test_replay_finds_another_key_and_another_list_of_replaced_ones(resident: Resident) -> None:
    resident.agent.answer_due()
    world, old = resident.world, resident.world.funds[FUND].identity.public_key
    new = rotate(resident)
    checked(resident)
    with world.operator.store.unit_of_work() as session:
        session.get_one(Account, FUND).identity = old
    with pytest.raises(HistoryDiffers, match=f"the column identity is '?{old[:8]}"):
        checked(resident)
    with world.operator.store.unit_of_work() as session:
        assert replay.rewrite(session, world.key) == [FUND]
    assert world.operator.account(FUND).identity == new
    checked(resident)
    with world.operator.store.unit_of_work() as session:
        session.delete(session.get_one(ReplacedKey, old))
    with pytest.raises(HistoryDiffers, match="identity keys stored as replaced are not those"):
        checked(resident)


def test_a_directory_without_the_new_key_signs_nothing(resident: Resident, tmp_path: Path) -> None:
    resident.agent.answer_due()
    shutil.copy(resident.folder / "identity.key", tmp_path / "old.key")
    rotate(resident)
    shutil.copy(tmp_path / "old.key", resident.folder / "identity.key")
    with pytest.raises(RemoteError, match="was replaced"):
        resident.started().answer_due()


def test_a_rotation_is_taken_back_from_an_export(resident: Resident, tmp_path: Path) -> None:
    resident.agent.answer_due()
    world = resident.world
    world.operator.close()
    shutil.copytree(world.directory, tmp_path / "older")
    resident.world = world = world.restarted()
    resident.line.world = world
    new = rotate(resident)
    resident.agent.answer_due()
    account = exported(resident.folder)
    world.close()
    shutil.rmtree(world.directory)
    shutil.copytree(tmp_path / "older", world.directory)
    resident.world = world = world.restarted()
    assert take_back(world.operator, [account]) == {FUND: 1}
    assert world.operator.account(FUND).identity == new
    checked(resident)


def test_bundles_verify_with_the_trust_file_from_before(proving: Resident) -> None:
    resident, world, group = proving, proving.world, load_group()
    pins = world.trust() | {"keys": {FUND: [resident.agent.key_commitments]}}
    trust = TrustFile.parse(pins)
    before = world.play(1)
    assert resident.agent.answer_due() == [before]
    # The run was opened under the old key, and is answered under the new one.
    between = world.play(2)
    rotate(resident)
    assert resident.agent.answer_due() == [between]
    shown = {run: json.loads(json.dumps(world.bundle(run))) for run in (before, between)}
    assert "rotations" not in shown[before]["body"]
    for bundle in shown.values():
        verify_attestation(bundle, trust, group)
    # The newest key is as good an anchor for whatever shows both.
    later = TrustFile.parse(pins | {"institutions": {FUND: resident.agent.identity.public_key}})
    verify_attestation(shown[between], later, group)
    with pytest.raises(AttestationInvalid):
        verify_attestation(shown[before], later, group)

    def step(change: dict[str, Any]) -> str:
        body = {name: value for name, value in (shown[between]["body"] | change).items() if value is not None}
        with pytest.raises(AttestationInvalid) as caught:
            verify_attestation(world.operator.identity.sign("attestation", body).to_json(), trust, group)
        return caught.value.step

    # Without the rotation the answer is a stranger's; with one to a stranger's key it is not of the account.
    assert step({"rotations": None}) == "answer"
    thief = signed_rotation(FUND, world.key, "1a" * 32, world.funds[FUND].identity, Identity.generate()).to_json()
    assert step({"rotations": [thief]}) == "answer"
    assert step({"rotations": [*shown[between]["body"]["rotations"], thief]}) == "enrolment"


def test_another_pin_is_another_institution(resident: Resident) -> None:
    resident.agent.close()
    resident._agent = None
    trust = resident.world.trust()
    resident.world.funds[FUND].identity = Identity.generate()
    assert trust != resident.world.trust()
    rotation.make_next(resident.folder)
    (resident.folder / "identity.key").unlink()
    with pytest.raises(ConfigurationError, match="another identity key"):
        resident.started()


def problem_type(response: Any) -> str:
    return str(response.json()["type"]).rpartition(":")[2]


def test_an_answer_that_a_late_rotation_overtook_is_signed_by_the_new_key(resident: Resident) -> None:
    """The rotation was lost on its way, the agent went on, and then it arrived after all: before an answer did."""
    world, old = resident.world, resident.world.funds[FUND].identity
    resident.agent.answer_due()
    run_id = world.play(1)
    lose(resident, "/identity", "request")
    with pytest.raises(RemoteError):
        rotate(resident)
    (late,) = resident.line.sent("/identity")
    lose(resident, "/answer", "request")
    with pytest.raises(RemoteError):
        resident.agent.answer_due()
    (before,) = [row for row in resident.answers if row.run_id == run_id]
    assert before.document is not None
    assert before.document["signer"] == old.public_key
    identities.rotate(world.operator, FUND, late)
    mend(resident)
    # This process has the key that went. It ends, and says how to go on: whoever starts it again has the next one.
    with pytest.raises(RemoteError, match="was replaced") as refused:
        resident.agent.answer_due()
    said = advice(refused.value, enrolled=True)
    assert said is not None
    assert "start the agent again" in said
    assert resident.restarted().answer_due() == [run_id]
    (after,) = [row for row in resident.answers if row.run_id == run_id]
    assert after.document is not None
    assert after.document["signer"] == key_in(resident.folder) == world.operator.account(FUND).identity
    assert (after.document["body"], after.sha256) == (before.document["body"], before.sha256)
    assert world.states()[run_id] == "covered"
    checked(resident)


def test_whoever_was_robbed_takes_over_what_the_thief_did_and_rotates(resident: Resident) -> None:
    resident.agent.answer_due()
    world, old = resident.world, resident.world.funds[FUND].identity

    def thief(sequence: int) -> None:
        body = {
            "institution": FUND, "operator": world.key, "sequence": str(sequence), "entry": world.head(),
            "readers": [{"name": f"thief-{sequence}", "public_key": Identity.generate().public_key}],
        }  # fmt: skip
        readers.name_readers(world.operator, FUND, Readers.parse(body).signed_by(old).to_json())

    thief(1)
    with pytest.raises(EntryUnsent, match="identity key is used elsewhere"):
        rotate(resident)
    assert rotation.next_identity(resident.folder) is None
    new = rotate(resident, adopt=True)
    assert (key_in(resident.folder), resident.state.public.former) == (new, (old.public_key,))
    # Between two attempts too, and what was begun keeps its key.
    stolen = resident.agent.identity
    begun = rotation.make_next(resident.folder).public_key
    resident.world.funds[FUND].identity = old = stolen
    thief(2)
    assert rotate(resident, adopt=True) == begun
    # What the thief did before stays: the list of readers names it, until the institution makes another.
    assert resident.agent.readers() == ["thief-2"]
    resident.agent.remove_reader("thief-2")
    assert resident.agent.readers() == []
    checked(resident)


def test_a_thief_who_rotates_first_is_noticed(resident: Resident) -> None:
    resident.agent.answer_due()
    world, old = resident.world, resident.world.funds[FUND].identity
    identities.rotate(world.operator, FUND, document(resident, Identity.generate()))
    with pytest.raises(RemoteError, match="was replaced") as refused:
        resident.agent.answer_due()
    said = advice(refused.value, enrolled=True)
    assert said is not None
    assert "somebody else has the key: have the operator hold the account at once" in said
    # Nothing is signed, nothing is made, and the key is kept.
    with pytest.raises(RemoteError, match="was replaced"):
        rotate(resident)
    assert (key_in(resident.folder), rotation.next_identity(resident.folder)) == (old.public_key, None)


def test_a_restore_to_before_the_rotation_is_named(
    residents: Residents, resident: Resident, caplog: pytest.LogCaptureFixture
) -> None:
    resident.agent.answer_due()
    old = resident.world.funds[FUND].identity
    new = rotate(resident)
    resident.agent.answer_due()
    restore(resident, residents.root / "operator")
    behind._said.clear()
    world, path = resident.world, f"/v1/institutions/{FUND}/entries"
    with caplog.at_level(logging.WARNING):
        for agent in (resident.agent, resident.restarted()):
            with pytest.raises(OperatorBehind, match=r"the one that put this directory's identity key in force"):
                agent.answer_due()
    said = [record.getMessage() for record in caplog.records if "is not known here" in record.getMessage()]
    assert len(said) == 1
    assert f"a request about {FUND} is signed by a key that is not known here" in said[0]
    # Another rotation is none either, and no key is made or lost for it.
    with pytest.raises(OperatorBehind):
        rotate(resident)
    assert (key_in(resident.folder), rotation.next_identity(resident.folder)) == (new, None)
    # Until it is taken back the replaced key opens the account: the documents say so.
    assert world.client.get(path, auth=world.signed_by(old)).status_code == 200
    assert take_back(world.operator, [exported(resident.folder)])[FUND] >= 1
    refused = world.client.get(path, auth=world.signed_by(old))
    assert (refused.status_code, problem_type(refused)) == (401, "key-replaced")
    run_id = world.play(1)
    assert resident.agent.answer_due() == [run_id]
    checked(resident)


def test_a_stranger_provokes_no_line_about_what_is_not_there(
    resident: Resident, caplog: pytest.LogCaptureFixture
) -> None:
    world, stranger = resident.world, Identity.generate()
    behind._said.clear()
    with caplog.at_level(logging.WARNING):
        for name in ("nobody", FUND, FUND):
            refused = world.client.get(f"/v1/institutions/{name}/entries", auth=world.signed_by(stranger))
            assert (refused.status_code, problem_type(refused)) == (401, "key-unknown")
    assert [record.getMessage().split(" is signed")[0] for record in caplog.records] == [f"a request about {FUND}"]


def test_a_book_in_force_is_brought_under_new_fhe_keys_after_the_rotation(resident: Resident) -> None:
    """What the directory keeps of the time before goes on: books, their openings, FHE keys."""
    resident.agent.answer_due()
    rotate(resident)
    resident.agent.rotate_keys()
    run_id = resident.world.play(1)
    assert resident.agent.answer_due() == [run_id]
    rotate(resident)
    resident.agent.instruct("post", "USDC", 1)
    assert resident.agent.answer_due() == []
    checked(resident)
