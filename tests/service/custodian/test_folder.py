"""A custodian's folder: keys that its owner alone may read, and policies that it agreed to."""

from pathlib import Path
from typing import Any

import pytest

from atomic_margin.service.custodian.errors import KeysDamaged, PolicyNotAgreed, SharesDamaged
from atomic_margin.service.custodian.folder import DATABASE, ENCRYPTION, IDENTITY, POLICIES, STORAGE, Folder, lock
from atomic_margin.service.custodian.sealing import Place, seal, unseal
from atomic_margin.service.errors import ConfigurationError
from atomic_margin.service.protocol.custody import CustodyPolicy
from atomic_margin.service.protocol.share_boxes import fault_of_encryption_key
from atomic_margin.service.protocol.signing import Identity


def policy(own: Folder, **first: Any) -> CustodyPolicy:
    """A policy with this custodian first."""
    lines = [{"point": "1", "name": "own", "identity": own.identity.public_key, "encryption_key": own.encryption_key}]
    for point in (2, 3, 4):
        key = Identity.generate().public_key
        lines.append({"point": str(point), "name": f"c{point}", "identity": key, "encryption_key": f"{point:064x}"})
    lines[0] |= first
    return CustodyPolicy.parse(
        {
            "format": "atomic-margin/custody/1",
            "name": "custody of 2026",
            "threshold": "2",
            "absent": "1",
            "custodians": lines,
            "deal_seconds": "600",
            "opening_after_seconds": "3600",
            "openings": "2",
        }
    )


def test_keys_are_made_once_and_are_the_owners(tmp_path: Path) -> None:
    first = Folder.make(tmp_path / "c")
    again = Folder.make(tmp_path / "c")
    assert (first.identity.public_key, first.encryption_key, first.storage) == (
        again.identity.public_key,
        again.encryption_key,
        again.storage,
    )
    assert {(tmp_path / "c" / name).stat().st_mode & 0o777 for name in (IDENTITY, ENCRYPTION, STORAGE)} == {0o600}
    assert fault_of_encryption_key(first.encryption_key) is None
    assert len({first.storage, (tmp_path / "c" / IDENTITY).read_bytes()}) == 2


@pytest.mark.parametrize("name", [IDENTITY, ENCRYPTION, STORAGE])
def test_keys_that_are_missing_readable_or_cut_are_refused(tmp_path: Path, name: str) -> None:
    Folder.make(tmp_path)
    path = tmp_path / name
    path.chmod(0o640)
    with pytest.raises(KeysDamaged, match="chmod 600"):
        Folder(tmp_path)
    path.chmod(0o600)
    path.write_bytes(bytes(31))
    with pytest.raises(KeysDamaged, match="32 bytes"):
        Folder(tmp_path)
    path.unlink()
    with pytest.raises(KeysDamaged, match="custodian init"):
        Folder(tmp_path)


def test_a_key_is_not_made_anew_beside_shares(tmp_path: Path) -> None:
    Folder.make(tmp_path)
    (tmp_path / DATABASE).write_bytes(b"")
    (tmp_path / STORAGE).unlink()
    with pytest.raises(ConfigurationError, match="restore it from your backup"):
        Folder.make(tmp_path)


def test_a_policy_is_taken_by_its_hash(tmp_path: Path) -> None:
    own = Folder.make(tmp_path)
    agreed = policy(own)
    with pytest.raises(PolicyNotAgreed, match="custodian agree"):
        own.policy(agreed.hash())
    assert own.agree(agreed).point == 1
    assert own.policy(agreed.hash()) == agreed
    assert own.policies() == (agreed.hash(),)
    with pytest.raises(PolicyNotAgreed):
        own.policy("../" + agreed.hash())


@pytest.mark.parametrize("first", [{"identity": "other"}, {"encryption_key": "05" + 31 * "00"}])
def test_a_policy_with_other_keys_is_refused(tmp_path: Path, first: dict[str, str]) -> None:
    own = Folder.make(tmp_path)
    changed = {name: Identity.generate().public_key if value == "other" else value for name, value in first.items()}
    with pytest.raises(PolicyNotAgreed, match="does not have the keys"):
        own.agree(policy(own, **changed))


def test_a_policy_whose_keys_hide_nothing_is_refused(tmp_path: Path) -> None:
    own = Folder.make(tmp_path)
    good = policy(own)
    lines = [*good.custodians[:3], good.custodians[3].model_copy(update={"encryption_key": "00" * 32})]
    with pytest.raises(PolicyNotAgreed, match="small order"):
        own.agree(good.model_copy(update={"custodians": tuple(lines)}))


def test_a_policy_file_that_somebody_changed_is_refused(tmp_path: Path) -> None:
    own = Folder.make(tmp_path)
    agreed = policy(own)
    own.agree(agreed)
    path = tmp_path / POLICIES / f"{agreed.hash()}.json"
    path.write_text(path.read_text().replace("custody of 2026", "custody of 2027"))
    with pytest.raises(PolicyNotAgreed, match="agree to it anew"):
        own.policy(agreed.hash())


def test_one_process_has_the_folder(tmp_path: Path) -> None:
    Folder.make(tmp_path)
    held = lock(tmp_path)
    with pytest.raises(ConfigurationError, match="another custodian"):
        lock(tmp_path)
    held.close()
    lock(tmp_path).close()


@pytest.mark.parametrize("field", ["operator", "institution", "deal", "point"])
def test_what_is_sealed_opens_at_its_place_alone(field: str) -> None:
    key, place = bytes(range(32)), Place("9a" * 32, "fund", "1b" * 32, 2)
    sealed = seal(key, b"shares", place)
    assert seal(key, b"shares", place) != sealed
    assert unseal(key, sealed, place) == b"shares"
    other = place._replace(**{field: 3 if field == "point" else "other"})
    changed = sealed[:-1] + bytes([sealed[-1] ^ 1])
    for wrong_key, data, where in ((key, sealed, other), (bytes(32), sealed, place), (key, changed, place)):
        with pytest.raises(SharesDamaged):
            unseal(wrong_key, data, where)
    for cut in (b"", sealed[:12], sealed[:20]):
        with pytest.raises(SharesDamaged):
            unseal(key, cut, place)
