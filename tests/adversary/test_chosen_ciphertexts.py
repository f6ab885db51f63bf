"""Row: "server sends chosen ciphertexts to fish for key bits". What the institution decrypts does not leave it."""

import hashlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from atomic_margin.circuits.layout import layout_of
from atomic_margin.circuits.profile import TINY
from atomic_margin.documents.errors import MalformedDocument
from atomic_margin.fhe.institution import InstitutionKeys
from atomic_margin.margin.market.portfolio import Portfolio
from atomic_margin.service.errors import AgentRefused
from atomic_margin.service.institution import enrolment
from atomic_margin.service.institution.enrolment import _check_known_answers
from atomic_margin.service.institution.keyring import KeyRing
from atomic_margin.service.institution.outbox import Outbox
from atomic_margin.service.institution.runs import EvaluationMismatch, check_run, decrypt_and_compare, present
from atomic_margin.service.institution.settings import AgentSettings
from atomic_margin.service.institution.store import InstitutionStore, OwnSubmission
from atomic_margin.service.protocol.messages import Challenge, RunView
from atomic_margin.service.protocol.signing import Identity
from atomic_margin.service.protocol.trust import TrustFile

from .attacks import Stage

pytestmark = [pytest.mark.fhe, pytest.mark.long]


@pytest.fixture(scope="module")
def keys(spare_keys: InstitutionKeys) -> InstitutionKeys:
    return spare_keys


def chosen(bit: int) -> str:
    """A ciphertext whose decryption is one bit of the key that flags are under."""
    layout = layout_of(TINY).messages["known_answer"]
    words = np.zeros(layout.shape, dtype="<u8")
    words[0, bit], words[0, -1] = 1 << 62, 1 << 62
    return words.tobytes().hex()


def answer(output: str) -> dict[str, str]:
    return {"seed": "00" * 16, "flag": "0", "output": output}


def challenge(answers: Any) -> Challenge:
    """The operator's answer to an upload, as the agent's client parses it."""
    return Challenge.parse({"known_answers": answers, "token": "00" * 32})


def check(keys: InstitutionKeys, answers: Any) -> None:
    _check_known_answers(keys, challenge(answers).known_answers)


@pytest.mark.parametrize("count", [0, 1, 3, 5, 500])
def test_a_test_of_another_length_is_not_decrypted(
    keys: InstitutionKeys, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr(keys, "decrypt", lambda *_: pytest.fail("it was decrypted"))
    with pytest.raises(AgentRefused, match="does not have 4"):
        check(keys, [answer(chosen(bit)) for bit in range(count)])


@pytest.mark.parametrize("odd", [None, "text", {}, [1, 2, 3, 4], [{}] * 4, [{"output": "zz"}] * 4, [{"output": 1}] * 4])
def test_what_is_no_test_is_refused(odd: Any) -> None:
    with pytest.raises(MalformedDocument, match="known_answers"):
        challenge(odd)


@pytest.mark.parametrize("output", ["zz", "", "0", "00", "00" * 100_000])
def test_what_is_no_output_is_refused(keys: InstitutionKeys, output: str) -> None:
    with pytest.raises(AgentRefused):
        check(keys, [answer(output)] * 4)


def test_chosen_ciphertexts_cost_the_keys_and_tell_one_guess(keys: InstitutionKeys) -> None:
    """Only a server that already knows the four bits passes; one wrong guess, and the keys are replaced."""
    known = [int(keys.decrypt("known_answer", bytes.fromhex(chosen(bit))).values[0]) for bit in range(64)]
    zeros, ones = known.index(0), known.index(1)
    passing = [chosen(bit) for bit in (zeros, ones, zeros, ones)]
    check(keys, [answer(output) for output in passing])
    for wrong in range(4):
        spoiled = [*passing]
        spoiled[wrong] = chosen(ones if wrong % 2 == 0 else zeros)
        with pytest.raises(AgentRefused, match="new ones are made"):
            check(keys, [answer(output) for output in spoiled])


@pytest.mark.long
def test_a_wrong_test_is_not_confirmed_and_the_next_attempt_makes_new_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []

    class CheatingOperator:
        """Answers every upload with chosen ciphertexts."""

        token: str | None = None

        def enrol(self, document: dict[str, Any], evaluation_keys: bytes, known_answer_input: bytes) -> Challenge:
            sent.append(document["body"]["evaluation_keys"])
            return challenge([answer(chosen(1 << number)) for number in range(4)] * 2)

        def confirm(self, document: dict[str, Any]) -> dict[str, Any]:
            pytest.fail("keys that failed the test were confirmed")

    class Terms:
        profile = TINY
        hashes = {"profile": TINY.hash()}  # noqa: RUF012  # read only

    anything, anybody = "00" * 32, Identity.generate().public_key
    trust = TrustFile.parse(
        {
            "format": "atomic-margin/trust/2",
            "operator": anybody,
            "prices": {
                "format": "atomic-margin/price-rules/1",
                "sources": [anybody],
                "required": "1",
                "max_skew_seconds": "0",
                "max_age_seconds": "unbounded",
                "outlier": dict.fromkeys(("price", "volatility", "rate"), "0.1"),
                "move": dict.fromkeys(("price", "volatility", "rate"), "0.1"),
            },
            "institutions": {},
            "keys": {},
            **dict.fromkeys(("model", "universe", "schedule", "profile", "generators"), anything),
        }
    )
    settings = AgentSettings(tmp_path, "fund", "http://127.0.0.1:9", trust, 1, None)
    store, identity = InstitutionStore(tmp_path), Identity.generate()
    party: Any = SimpleNamespace(
        settings=settings,
        terms=Terms,
        identity=identity,
        keys=KeyRing(settings, TINY, store),
        store=store,
        client=CheatingOperator(),
        history=SimpleNamespace(state=None),
        stage=lambda _: None,
    )
    for _ in range(2):
        with pytest.raises(AgentRefused):
            enrolment.enrol(party, Outbox(party), bytes(32))
    # Nothing of them is brought again, or kept.
    assert len(set(sent)) == 2
    assert not list(tmp_path.glob("*.keys"))
    assert store.note("enrolled") is None
    store.close()


def test_an_output_that_is_not_the_run_s_function_is_not_decrypted_or_withheld(stage: Stage) -> None:
    """The server puts another flag into the record, duly signed: the agent compares and withholds."""
    keys, run = stage.secrets.keys, _checked(stage)
    outputs = {name: stage.agent._client.output(stage.open, name) for name in ("surplus", "breach")}
    assert decrypt_and_compare(run, keys, outputs.__getitem__).value == 1
    other = np.zeros(layout_of(TINY).messages["breach"].shape, dtype="<u8")
    with pytest.raises(AgentRefused, match="not the one of the run record"):
        decrypt_and_compare(run, keys, {**outputs, "breach": other.tobytes()}.__getitem__)
    cheated = _with_breach_output(run, other.tobytes())
    with pytest.raises(EvaluationMismatch, match="withheld"):
        decrypt_and_compare(cheated, keys, {**outputs, "breach": other.tobytes()}.__getitem__)


def _checked(stage: Stage) -> Any:
    with stage.agent._store.unit_of_work() as session:
        own = session.get_one(OwnSubmission, 1)
    book, agent = Portfolio.parse(own.portfolio), stage.agent
    view = stage.view(stage.open)
    return check_run(
        present(RunView.parse(view)), agent.settings.trust, agent.terms, stage.secrets.submission, own.sha256, book
    )


def _with_breach_output(run: Any, output: bytes) -> Any:
    outputs = run.record.outputs.model_copy(update={"breach": hashlib.sha256(output).hexdigest()})
    return replace(run, record=run.record.model_copy(update={"outputs": outputs}))
