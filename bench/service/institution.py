"""One institution of a load: the agent's own steps without its folder, its replica of the account and its server.

It enrols, posts, submits, and answers runs by the code that the agent runs. What the agent does besides, so that it
need not trust the operator (replaying every entry, the log, witnesses), is left out: it costs the operator nothing more
than the calls that are made here.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atomic_margin.bench.service.plain import PlainKeys
from atomic_margin.bench.service.scene import ASSET, Scene
from atomic_margin.documents.canonical import canonical_bytes
from atomic_margin.documents.clock import CLOCK
from atomic_margin.documents.strict import instant
from atomic_margin.fhe.institution import InstitutionKeys
from atomic_margin.margin.market.portfolio import Portfolio
from atomic_margin.service.errors import AgentRefused, RemoteError
from atomic_margin.service.http.signatures import RequestSigner
from atomic_margin.service.institution.answers import decide
from atomic_margin.service.institution.client import OperatorClient
from atomic_margin.service.institution.gains import Priced, gain_at
from atomic_margin.service.institution.openings import KeyOpenings, commit_keys, read_openings
from atomic_margin.service.institution.runs import check_run, decrypt_and_compare, present
from atomic_margin.service.institution.store import OwnSubmission
from atomic_margin.service.institution.submissions import CommittedBook, make_submission
from atomic_margin.service.protocol.documents import CollateralInstruction, Enrolment, EnrolmentConfirmation
from atomic_margin.service.protocol.signing import Identity, SignedDocument
from atomic_margin.service.protocol.submissions import USUAL_ALLOWANCES, Submission
from atomic_margin.service.protocol.terms import Terms
from atomic_margin.service.protocol.trust import TrustFile
from atomic_margin.zk.prove.commit import commit_values

JsonObject = dict[str, Any]

IDENTITY, STATE, KEYS = "identity.key", "institution.json", "fhe.keys"


@dataclass(frozen=True)
class Ground:
    """What all institutions of a load have in common.

    Attributes:
        scene: terms and prices.
        terms: of the scene.
        trust: with the operator's key and the price rules.
        plain: whether keys are of known bits.
    """

    scene: Scene
    terms: Terms
    trust: TrustFile
    plain: bool


class Institution:
    """One institution, its secrets in a folder."""

    def __init__(self, name: str, folder: Path, ground: Ground, shared: KeyOpenings | None) -> None:
        """Read what the folder has. ``shared`` are openings of the known bits, where keys are plain."""
        self.name, self._folder, self._ground = name, folder, ground
        self.identity = Identity.load_or_create(folder / IDENTITY)
        self._keys: InstitutionKeys | None = PlainKeys(ground.scene.profile, name) if ground.plain else None
        self._openings, self._entries = shared, 0
        self._recorded: dict[str, str] = {}
        self._state: JsonObject = {}
        if (folder / STATE).is_file():
            self._state = json.loads((folder / STATE).read_text())
        self._client: OperatorClient | None = None

    @property
    def ready(self) -> bool:
        """Whether it is enrolled and has submitted."""
        return "submission" in self._state

    def connect(self, url: str) -> None:
        """Talk to the operator at ``url``."""
        self._client = OperatorClient(
            url,
            self.name,
            RequestSigner(self.identity.public_key, self.identity.sign_request, self._ground.trust.operator),
        )

    def prepare(self, post_units: int) -> None:
        """Enrol, post collateral and submit the book; written down at the end.

        Raises:
            RemoteError: the operator refuses something.
        """
        self._enrol()
        self._post(post_units)
        self._submit()
        (self._folder / STATE).write_text(json.dumps(self._state))

    def answer(self, run_id: str) -> str | None:
        """Check a run that is recorded, prove and answer; return the hash of the entry, None for silence.

        Raises:
            RemoteError: the operator refuses the answer.
            AgentRefused: the run is not what the agent takes, or its time is over.
        """
        entry = self._entry_of(run_id)
        ground, submission = self._ground, Submission.parse(self._state["submission"]["body"])
        signed = SignedDocument.parse(self._state["submission"])
        presented = present(self.client.run(run_id))
        book = Portfolio.parse(ground.scene.portfolio())
        run = check_run(presented, ground.trust, ground.terms, submission, signed.body_hash(), book)
        if instant(run.record.deadline) <= CLOCK.now():
            raise AgentRefused("the time to answer the run is over")
        flag = None
        if run.record.outputs is not None:
            flag = decrypt_and_compare(run, self.keys, lambda name: self.client.output(run_id, name))
        elif not run.covered:
            return None
        own = OwnSubmission(
            sequence=submission.sequence,
            sha256=signed.body_hash(),
            document=signed.to_json(),
            blindings=self._state["blindings"],
        )
        answer = decide(run, submission, own, flag, lambda: self.openings, ground.terms, self.identity, entry=entry)
        return None if answer is None else self.client.answer(run_id, answer.to_json()).body_hash()

    @property
    def client(self) -> OperatorClient:
        """The operator, once it is connected."""
        if self._client is None:
            raise RemoteError(f"{self.name} is not connected: call connect first")
        return self._client

    @property
    def keys(self) -> InstitutionKeys:
        """The FHE keys."""
        if self._keys is None:
            path = self._folder / KEYS
            profile = self._ground.scene.profile
            self._keys = InstitutionKeys.load(profile, path) if path.exists() else InstitutionKeys.generate(profile)
        return self._keys

    @property
    def openings(self) -> KeyOpenings:
        """What opens the commitments to the keys."""
        if self._openings is None:
            stored = self._state.get("openings")
            self._openings = (
                commit_keys(self.keys, bytes(32), {"institution": self.name})
                if stored is None
                else read_openings(self.keys, stored)
            )
        return self._openings

    def _entry_of(self, run_id: str) -> str:
        """Return the hash of the entry that has a run's record, from the entries that came since the last one seen."""
        while run_id not in self._recorded:
            page = self.client.entries(self._entries)
            for item in page.entries:
                self._entries += 1
                if item.document["type"] == "run":
                    # Perhaps of a run after this one: its entry is not read again.
                    self._recorded[item.document["body"]["run_id"]] = SignedDocument.parse(item.entry).body_hash()
            if not page.more and run_id not in self._recorded:
                raise RemoteError(f"no entry of {self.name} has the record of run {run_id}")
        return self._recorded.pop(run_id)

    def _head(self) -> str:
        """Return the hash of the account's last entry."""
        entries, more, head = 0, True, ""
        while more:
            page = self.client.entries(entries)
            entries, more = entries + len(page.entries), page.more
            head = SignedDocument.parse(page.entries[-1].entry).body_hash() if page.entries else head
        return head

    def _enrol(self) -> None:
        keys, evaluation_keys, known = self.keys, self.keys.evaluation_keys(), self.keys.known_answer_input()
        keys.save(self._folder / KEYS)
        if not self._ground.plain:
            self._state["openings"] = self.openings.to_json()
        said = {"institution": self.name, "operator": self._ground.trust.operator}
        hash_ = hashlib.sha256(evaluation_keys).hexdigest()
        document = Enrolment.parse(
            {
                **said,
                "profile": self._ground.terms.hashes["profile"],
                "key_sequence": "1",
                "evaluation_keys": hash_,
                "known_answer_input": hashlib.sha256(known).hexdigest(),
                "input_key": [point.hex() for point in self.openings.pair.input.commitments],
                "flag_key": [point.hex() for point in self.openings.pair.flag.commitments],
            }
        ).signed_by(self.identity)
        self.client.enrol(document.to_json(), evaluation_keys, known)
        confirmation = EnrolmentConfirmation.parse({**said, "evaluation_keys": hash_, "known_answers": "right"})
        self.client.confirm(confirmation.signed_by(self.identity).to_json())
        self._state["evaluation_keys"] = hash_

    def _post(self, units: int) -> None:
        body = CollateralInstruction.parse(
            {
                "institution": self.name,
                "operator": self._ground.trust.operator,
                "sequence": "1",
                "entry": self._head(),
                "action": "post",
                "asset": ASSET,
                "quantity": str(units),
            }
        )
        self.client.instruct(body.signed_by(self.identity).to_json())

    def _submit(self) -> None:
        ground, terms = self._ground, self._ground.terms
        account = ground.scene.account(terms)
        values = tuple(terms.encode(Portfolio.parse(ground.scene.portfolio()), account).tolist())
        commitments, blindings = commit_values(values, bytes(32), {"institution": self.name})
        addressed = {
            "institution": self.name,
            "operator": ground.trust.operator,
            "sequence": "1",
            "entry": self._head(),
            "nonce": self.client.nonce(),
            "evaluation_keys": self._state["evaluation_keys"],
        }
        made = make_submission(
            addressed,
            account,
            terms,
            CommittedBook(values, commitments, blindings),
            self.keys,
            self.openings,
            lambda _: None,
            lambda _: None,
            lambda claim, own: gain_at(Priced(0, "0" * 64, None), USUAL_ALLOWANCES.submission, terms, claim, own, None),
        )
        signed = made.signed_by(self.identity)
        self.client.submit(signed.to_json())
        self._state["submission"] = signed.to_json()
        self._state["blindings"] = [str(blinding) for blinding in blindings]
        self._state["submission_bytes"] = len(canonical_bytes(signed.to_json()))
