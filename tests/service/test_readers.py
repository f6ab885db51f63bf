"""Bundles are for whom their institution names, and for nobody else."""

import hashlib
from collections.abc import Callable

import pytest

from atomic_margin.documents.errors import DocumentError
from atomic_margin.service.errors import Conflict, SignatureInvalid
from atomic_margin.service.operator.accounts import readers
from atomic_margin.service.protocol.account.errors import OutOfSequence
from atomic_margin.service.protocol.account.events import Readers
from atomic_margin.service.protocol.signing import Identity, SignedDocument

from .documents import FUND, OTHER
from .world import World

WorldAt = Callable[[str], World]
RUN = f"{FUND}.1"


def listing(world: World, sequence: int, **tokens: str) -> SignedDocument:
    body = {
        "institution": FUND,
        "operator": world.key,
        "sequence": str(sequence),
        "entry": world.head(),
        "readers": [
            {"name": name, "token_sha256": hashlib.sha256(token.encode()).hexdigest()} for name, token in tokens.items()
        ],
    }
    return Readers.parse(body).signed_by(world.funds[FUND].identity)


def status(world: World, token: str | None, run: str = RUN) -> int:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return world.client.get(f"/v1/attestations/{run}", headers=headers).status_code


def test_a_bundle_opens_for_its_institution_its_readers_and_the_operator(world_at: WorldAt) -> None:
    world = world_at("calm-done")
    assert status(world, world.operator.admin_token) == 200
    assert world.client.get(f"/v1/attestations/{RUN}", auth=world.auth()).status_code == 200
    assert [status(world, token) for token in (None, "", "auditor's", "x" * 64)] == [401] * 4
    entry = readers.name_readers(world.operator, FUND, listing(world, 1, auditor="auditor's").to_json())
    assert entry.body["kind"] == "readers named"
    assert status(world, "auditor's") == 200
    shown = world.client.get("/v1/attestations", headers={"Authorization": "Bearer auditor's"})
    assert shown.json() == {"runs": [RUN]}
    assert world.client.get("/v1/attestations").status_code == 401
    # The token opens bundles, and nothing else of the account; names of runs cannot be probed with it.
    for path in (f"/v1/institutions/{FUND}", f"/v1/institutions/{FUND}/entries", f"/v1/runs/{RUN}"):
        assert world.client.get(path, headers={"Authorization": "Bearer auditor's"}).status_code == 401
    assert status(world, "auditor's", f"{FUND}.9") == 401
    readers.name_readers(world.operator, FUND, listing(world, 2).to_json())
    assert status(world, "auditor's") == 401


def test_an_institution_reads_its_own_bundles_alone(world_at: WorldAt) -> None:
    world = world_at("two")
    for run in (world.play(1), f"{OTHER}.1"):
        world.answer(run)
    own = world.client.get("/v1/attestations", auth=world.auth(OTHER)).json()
    assert own == {"runs": [f"{OTHER}.1"]}
    assert world.client.get(f"/v1/attestations/{RUN}", auth=world.auth(OTHER)).status_code == 401
    every = world.client.get("/v1/attestations", headers=world.admin).json()
    assert every == {"runs": [f"{OTHER}.1", RUN]}


def test_a_reader_that_is_named_by_its_key_signs_until_the_key_is_replaced(world_at: WorldAt) -> None:
    world = world_at("calm-done")
    auditor, next_auditor = Identity.generate(), Identity.generate()
    path = f"/v1/attestations/{RUN}"
    for sequence, key in enumerate((auditor, next_auditor), 1):
        assert world.client.get(path, auth=world.signed_by(key)).status_code == 401
        named = [{"name": "auditor", "public_key": key.public_key}]
        body = {**listing(world, sequence).body, "readers": named}
        readers.name_readers(world.operator, FUND, world.funds[FUND].identity.sign("readers", body).to_json())
        assert world.client.get(path, auth=world.signed_by(key)).status_code == 200
        shown = world.client.get("/v1/attestations", auth=world.signed_by(key))
        assert shown.json() == {"runs": [RUN]}
        assert world.client.get(f"/v1/institutions/{FUND}", auth=world.signed_by(key)).status_code == 401
    assert world.client.get(path, auth=world.signed_by(auditor)).status_code == 401
    for wrong in ({}, {"token_sha256": "1a" * 32, "public_key": auditor.public_key}):
        with pytest.raises(DocumentError):
            Readers.parse({**listing(world, 3).body, "readers": [{"name": "auditor", **wrong}]})


def test_lists_are_signed_numbered_and_entered_once(world_at: WorldAt) -> None:
    world = world_at("calm-done")
    first = listing(world, 1, auditor="a")
    entry = readers.name_readers(world.operator, FUND, first.to_json())
    assert readers.name_readers(world.operator, FUND, first.to_json()) == entry
    with pytest.raises(OutOfSequence):
        readers.name_readers(world.operator, FUND, listing(world, 1, other="b").to_json())
    with pytest.raises(OutOfSequence):
        readers.name_readers(world.operator, FUND, listing(world, 3, other="b").to_json())
    forged = Identity.generate().sign("readers", listing(world, 2, thief="c").body)
    with pytest.raises(SignatureInvalid):
        readers.name_readers(world.operator, FUND, forged.to_json())
    elsewhere = {**listing(world, 2).body, "entry": "1a" * 32}
    with pytest.raises(Conflict):
        readers.name_readers(world.operator, FUND, world.funds[FUND].identity.sign("readers", elsewhere).to_json())
    assert status(world, "a") == 200
    assert status(world, "c") == 401
