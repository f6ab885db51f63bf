"""What an operator does not take is handed on to witnesses, whose receipts the agent keeps."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from atomic_margin.service.cli.institution import _deliveries
from atomic_margin.service.errors import ConfigurationError, RemoteError
from atomic_margin.service.files import read_json
from atomic_margin.service.institution import deliveries
from atomic_margin.service.institution.deliveries import Deliveries
from atomic_margin.service.log.checkpoints import log_key, witness_key
from atomic_margin.service.protocol.delivery import read_receipt
from atomic_margin.service.protocol.signing import Identity
from atomic_margin.service.protocol.trust import LogTrust, TrustFile
from atomic_margin.service.witness.witness import Witness

from .documents import example_terms, price_rules
from .resident import Resident
from .rounds import Clock, flat
from .rounds import resident as resident
from .rounds import residents as residents
from .test_log import serving

ORIGIN = "margin.example/log"
KEEPER = Identity.generate()
LOG = log_key(ORIGIN, KEEPER.public_key)
DOCUMENT = "4d" * 32


@pytest.fixture
def witnesses(tmp_path: Path) -> Iterator[list[Witness]]:
    made = [Witness(tmp_path / name, name, {ORIGIN: LOG}, lambda: int(time.time())) for name in ("w1", "w2")]
    yield made
    for one in made:
        one.close()


def trust(*keys: str) -> LogTrust:
    said = {"key": str(LOG), "witnesses": list(keys), "threshold": "1", "max_age_seconds": "60"}
    return LogTrust.parse(said)


def receipts(folder: Path) -> set[str]:
    return {file.name for file in (folder / "receipts").glob("*")}


def test_every_witness_is_asked_and_each_receipt_is_kept(
    witnesses: list[Witness], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = witnesses
    log = trust(str(first.key), str(second.key))
    names = [f"{DOCUMENT}-{one.identity.public_key[:16]}.json" for one in witnesses]
    with serving(first) as url:
        handed = Deliveries(tmp_path, log, [(url, str(first.key)), ("http://127.0.0.1:9", str(second.key))])
        # One that is away does not matter, as long as there is another.
        handed(DOCUMENT)
        assert receipts(tmp_path) == {names[0]}
        before = (tmp_path / "receipts" / names[0]).read_bytes()
        trusted = frozenset(log.witness_keys)
        _, receipt = read_receipt(read_json(tmp_path / "receipts" / names[0]), trusted, ORIGIN, DOCUMENT)
        assert receipt.witness == first.identity.public_key
    # With a receipt there is nothing more to do, whoever is away now; the other one is asked when it is back.
    handed(DOCUMENT)
    with serving(second) as url:
        later = Deliveries(tmp_path, log, [("http://127.0.0.1:9", str(first.key)), (url, str(second.key))])
        later(DOCUMENT)
    assert receipts(tmp_path) == set(names)
    assert (tmp_path / "receipts" / names[0]).read_bytes() == before


def test_no_receipt_at_all_is_an_error_and_is_not_asked_for_all_the_time(
    witnesses: list[Witness], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = [100.0]
    monkeypatch.setattr(deliveries.time, "monotonic", lambda: seconds[0])
    (key, _) = (str(one.key) for one in witnesses)
    handed, asked = Deliveries(tmp_path, trust(key), [("http://127.0.0.1:9", key)]), list[str]()
    ask = deliveries.deliver
    monkeypatch.setattr(deliveries, "deliver", lambda url, *rest: asked.append(url) or ask(url, *rest))  # type: ignore[func-returns-value]
    for _ in range(3):
        with pytest.raises(RemoteError, match="no witness gives a receipt"):
            handed(DOCUMENT)
    assert len(asked) == 1
    seconds[0] += deliveries.RETRY_SECONDS
    with pytest.raises(RemoteError):
        handed(DOCUMENT)
    assert len(asked) == 2
    assert receipts(tmp_path) == set()


def test_an_agent_goes_on_when_no_witness_answers_and_hands_on_later(
    resident: Resident, witnesses: list[Witness], monkeypatch: pytest.MonkeyPatch
) -> None:
    witness = witnesses[0]
    clock, key = Clock(), str(witness.key)
    agent = resident.restarted(clock=clock)

    def refuse(_: Any) -> None:
        raise RemoteError("the operator refuses: not today", 422)

    monkeypatch.setattr(agent._client, "submit", refuse)
    with pytest.raises(RemoteError, match="not today"):
        agent.submit(flat())
    clock.wait(agent.settings.deliver_after)
    agent._outbox._deliver = Deliveries(resident.folder, trust(key), [("http://127.0.0.1:9", key)])
    # The round is not broken off, and what was not handed on is not forgotten.
    agent.answer_due()
    assert receipts(resident.folder) == set()
    with serving(witness) as url:
        agent._outbox._deliver = Deliveries(resident.folder, trust(key), [(url, key)])
        agent.answer_due()
    (stored,) = (row for row in resident.submissions if row.sequence == 2)
    assert receipts(resident.folder) == {f"{stored.sha256}-{witness.identity.public_key[:16]}.json"}


def test_who_may_be_named(tmp_path: Path) -> None:
    key, other = (str(witness_key(name, Identity.generate().public_key)) for name in ("w1", "w2"))
    with pytest.raises(ConfigurationError, match="w2 is none of them"):
        Deliveries(tmp_path, trust(key), [("http://a", key), ("http://b", other)])
    terms = example_terms()
    said = {
        "format": "atomic-margin/trust/2",
        "operator": KEEPER.public_key,
        "prices": price_rules(Identity.generate()).canonical(),
        "institutions": {},
        "keys": {},
        "universe": terms.universe.hash(),
        **terms.hashes,
    }
    without = TrustFile.parse(said)
    named = TrustFile.parse({**said, "log": trust(key).canonical()})
    assert _deliveries(tmp_path, without, []) is None
    assert isinstance(_deliveries(tmp_path, named, [f"http://a={key}"]), Deliveries)
    for pins, entry, why in (
        (without, f"http://a={key}", "names none"),
        (named, key, "takes URL=KEY"),
        (named, "http://a", "takes URL=KEY"),
        (named, f"http://a={other}", "none of them"),
    ):
        with pytest.raises(ConfigurationError, match=why):
            _deliveries(tmp_path, pins, [entry])
