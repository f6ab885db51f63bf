"""The institution's agent: enrols, submits portfolios, answers runs. Holds every secret of the institution.

Before anything is signed it follows its account to the operator's last entry. It answers the run that is open there,
under pinned terms, only when its own computation agrees with what the operator evaluated; otherwise it withholds the
flag and raises an alarm, which says neither a value nor when.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial

from atomic_margin.margin.market.portfolio import Portfolio
from atomic_margin.service.errors import AgentRefused
from atomic_margin.service.http.signatures import RequestSigner
from atomic_margin.service.institution import (
    answering,
    cycles,
    dealing,
    giving_up,
    instructions,
    losses,
    readers,
    releases,
    renewals,
    rotation,
    shortfalls,
    submitting,
    waiting,
)
from atomic_margin.service.institution.chain import MarketChain
from atomic_margin.service.institution.client import OperatorClient
from atomic_margin.service.institution.cosigned import say_what_is_asked
from atomic_margin.service.institution.coverage import Unasked
from atomic_margin.service.institution.directory_lock import DirectoryLock
from atomic_margin.service.institution.enrolment import enrol, require_admission
from atomic_margin.service.institution.following import OpenStream
from atomic_margin.service.institution.history import History
from atomic_margin.service.institution.keyring import KeyRing, load_secret
from atomic_margin.service.institution.log_watch import open_watch
from atomic_margin.service.institution.outbox import Outbox
from atomic_margin.service.institution.party import Party
from atomic_margin.service.institution.pinning import pinned_terms, require_own
from atomic_margin.service.institution.settings import AgentSettings
from atomic_margin.service.institution.standing import Standing, standing
from atomic_margin.service.institution.store import InstitutionStore
from atomic_margin.service.institution.submissions import CommittedBook
from atomic_margin.service.institution.universes import Universes
from atomic_margin.service.protocol.account.state import Account
from atomic_margin.service.protocol.agent_messages import Excess, LossesSettled, Released, RunFigures
from atomic_margin.service.protocol.dealings import BookSharing
from atomic_margin.service.protocol.signing import Identity
from atomic_margin.service.protocol.states import ENDED
from atomic_margin.service.protocol.submissions import Settles
from atomic_margin.service.protocol.terms import Columned


class Agent:
    """One institution's agent."""

    def __init__(
        self,
        settings: AgentSettings,
        on_stage: Callable[[str], None] = lambda stage: None,
        deliver: Callable[[str], None] | None = None,
        lock: DirectoryLock | None = None,
    ) -> None:
        """Open the directory; fetch the operator's terms and check them against the pinned hashes.

        Args:
            settings: what the institution chose.
            on_stage: told what is going on.
            deliver: handed the hash of what the operator does not enter in time, see `Outbox`.
            lock: of the directory, where the caller holds it; the agent takes its own otherwise.

        Raises:
            ConfigurationError: the operator's terms are not the pinned ones; the directory is another institution's, or
                another agent runs on it.
            RemoteError: the operator does not answer.
        """
        self._lock_taken = None if lock is not None else DirectoryLock(settings.directory)
        self.settings = settings
        self.identity = Identity.load_or_create(settings.directory / rotation.KEY)
        self._secret = load_secret(settings.directory / "commitment.secret")
        self._store = InstitutionStore(settings.directory)
        self._client = _client_of(settings, self.identity)
        self._stage = on_stage
        self._lock = threading.RLock()
        try:
            require_own(settings, self._store)
            replaced = rotation.in_force(self._client, settings.directory)
            if replaced is not None:
                self._client.close()
                self.identity, self._client = replaced, _client_of(settings, replaced)
            key = self.identity.public_key
            self.terms = pinned_terms(settings.trust, self._client, self._store, settings.institution, key)
            self._keys = KeyRing(settings, self.terms.profile, self._store)
            self._chain = MarketChain(settings, self._store, self._client.tick)
            universes, fetch = Universes(settings.directory, self.terms, self._client.universe), self._client.entries
            self.history = History(settings, self.terms, key, self._store, self._chain, fetch, universes)
            if replaced is not None:
                # So the operator says; its entries, followed under the new key, let the old one go.
                self.history.sync()
                rotation.swap(settings.directory)
        except BaseException:
            self.close()
            raise
        self._party = Party(
            settings=settings,
            terms=self.terms,
            identity=self.identity,
            keys=self._keys,
            store=self._store,
            client=self._client,
            chain=self._chain,
            history=self.history,
            stage=on_stage,
            watch=open_watch(settings, self._client.public),
        )
        say_what_is_asked(settings)
        self._outbox = Outbox(self._party, deliver)
        self._unasked = Unasked(self._party)

    def enrol(self) -> None:
        """Enrol unless that is done; see `atomic_margin.service.institution.enrolment.enrol`."""
        with self._lock:
            if self._store.note("enrolled"):
                return
            # Nothing can be read there by whom the operator does not know, and keys are made for nobody else.
            require_admission(self._party)
            self.history.sync()
            enrol(self._party, self._outbox, self._secret)
            self.history.sync()

    def submit(self, book: Portfolio, settles: Settles | None = None, *, wait: bool = True) -> int:
        """Encrypt, commit to and prove a portfolio, and send it; return its sequence number.

        One that was sent before and has no entry is sent once more, and then no more: this book takes its place.
        `settles` are losses that it has no more, and what leaves for them. Where the account has custodians the book is
        dealt to them first; with `wait`, this takes until they have receipted it, and runs are answered meanwhile.

        Raises:
            MarginError: the book is wrong, by field, or over the gross limit; nothing is sent.
            RemoteError: the operator refuses.
            EntryRefused, AgentRefused: the account's history does not hold; nothing is sent.
        """
        with self._lock:
            account = self.settings.account(self.terms.universe.hash())
            values = submitting.encode(self._party, book, account)
            self._caught_up()
            self._outbox.replace_submissions()
            sequence = self._followed().public.submissions + 1
            kept = dealing.committed(self._party, sequence, values)
            committed = kept or submitting.commit(self._party, self._secret, sequence, values)
        deal = partial(self._dealt, sequence, committed, account)
        sharing = dealing.receipted(deal, self._lock, self._party.stage) if wait else deal()
        with self._lock:
            if self._followed().public.submissions + 1 != sequence:
                raise AgentRefused("another book was submitted while this one was dealt to custodians: submit it again")
            self._submit(sequence, book, committed, account, settles, sharing)
            return sequence

    def _dealt(self, sequence: int, book: CommittedBook, account: Columned) -> BookSharing | None:
        return dealing.sharing_of(self._party, self._followed(), sequence, book, account)

    def settle(self, asset: str, quantity: int, usd: int | None = None) -> LossesSettled:
        """Settle losses of the book in force by posted collateral; return what was settled, and the book's cash now.

        Raises:
            AgentRefused, RemoteError, EntryRefused, DocumentError, MarginError: as `losses.settling` and `submit`.
        """
        with self._lock:
            self._caught_up()
            found = losses.settling(self._party, self._outbox, self._followed(), asset, quantity, usd)
        return found.submitted(self.submit(found.portfolio, found.settles))

    def instruct(self, action: str, asset: str, quantity: int) -> None:
        """Post or withdraw free collateral.

        Raises:
            RemoteError: the operator refuses, and nothing is sent again; or does not answer, and it is.
            EntryRefused, AgentRefused: the account's history does not hold; nothing is sent.
        """
        with self.signing() as (party, outbox):
            instructions.instruct(party, outbox, action, asset, quantity)

    def release(self, taken: Mapping[str, int], given: Mapping[str, int] | None = None) -> Released:
        """Let posted collateral become free; `given` is posted for it, if anything is. See `releases.make`."""
        with self.signing() as (party, outbox):
            signed = releases.make(party, self._followed(), taken, given)
            outbox.keep(signed)
            outbox.send(signed)
            return releases.released(signed)

    def excess(self, step: int = releases.STEP) -> Excess:
        """Return what is posted beyond initial margin, or what is missing; see `releases.excess`."""
        with self._lock:
            return releases.excess(self._party, self._followed(), step)

    def answer_due(self) -> list[str]:
        """Follow the account, send what no entry has, then answer its open run; return the runs answered now.

        Then the shortfalls of breaches answered before are checked. Last, where no run is open although one is owed or
        due, the book is proven covered unasked.

        Raises:
            RemoteError: the operator does not answer or refuses.
            EntryRefused, AgentRefused: the account's history does not hold: nothing is answered.
        """
        with self._lock:
            if self._store.note("evaluation_keys") is None:
                return []
            alarmed = self.alarm is not None
            self.history.sync()
            cycles.check(self._party)
            answered = self._outbox.resend()
            account = self._client.account()
            answering.prepare(self._party, account.policy)
            answered += self._outbox.resend()
            # After it, so that a rotation that fails keeps no run from its answer; and in the round after the alarm.
            state = self.history.state
            if state is None or state.public.status not in ENDED:
                self._replace_keys(alarmed)
            shortfalls.check_recorded(self._party, account.shortfalls)
            proof = self._unasked.proof()
            if proof is not None:
                self._outbox.keep(proof)
                self._outbox.resend()
            return answered

    def events(self) -> AbstractContextManager[OpenStream]:
        """Open the account's event stream."""
        return self._client.events(self.history.number)

    def unfinished(self) -> bool:
        """Return whether something is waited for that no entry announces; see `waiting.unfinished`."""
        with self._lock:
            return waiting.unfinished(self._party, self._outbox)

    def standing(self) -> Standing:
        """Return where the account stands."""
        return standing(self._party)

    def name_reader(self, reader: str, key: str | None = None) -> str | None:
        """Let somebody read this institution's bundles at the operator; return the token to hand over, shown once.

        There is none for who is named by a `key`.

        Raises:
            DocumentError, RemoteError, EntryRefused, AgentRefused: as `readers.name`.
        """
        with self.signing() as (party, outbox):
            return readers.name(party, outbox, reader, key)

    def remove_reader(self, reader: str) -> None:
        """Let somebody read this institution's bundles no more. See `readers.remove`."""
        with self.signing() as (party, outbox):
            readers.remove(party, outbox, reader)

    def readers(self) -> list[str]:
        """Return who may read this institution's bundles, by the names it chose."""
        return [one.name for one in readers.named(self._party)]

    def rotate_keys(self) -> None:
        """Make and enrol new FHE keys, and bring the same books, with the same commitments, under them.

        Raises:
            RemoteError, EntryRefused, AgentRefused: as `enrol` and `submit`; the next round goes on from there.
        """
        with self._lock:
            self._store.set_note("passed", "")
            self._store.set_note("enrolled", "")
            self.enrol()
            self._renew()

    def send_rotation(self, adopt: bool = False) -> None:
        """Have the operator enter another identity key. This agent ends with it: see `rotation.rotate`."""
        with self._lock:
            if adopt:
                self.history.sync(adopt=True)
            self._caught_up()
            rotation.send(self._party, self._outbox, rotation.make_next(self.settings.directory), adopt)

    def adopt(self) -> int:
        """Take over what this institution signed and this directory does not know; return how many documents.

        Where the account is under keys that the directory does not have, new ones are made. A book that it cannot open
        stays in force until another one is submitted.

        Raises:
            EntryRefused, AgentRefused, RemoteError: as `answer_due`.
        """
        with self._lock:
            adopted = self.history.sync(adopt=True)
            keys = None if self.history.state is None else self.history.state.public.keys
            if keys is not None and self._store.keys(keys) is None:
                self.rotate_keys()
            return adopted

    def give_up(self, reason: str) -> str:
        """Ask the operator to give up the book in force; return the hash of what was signed. See `giving_up.ask`."""
        with self._lock:
            self._followed()
            return giving_up.ask(self._party, self._outbox, reason)

    @contextmanager
    def signing(self) -> Iterator[tuple[Party, Outbox]]:
        """Hold the agent at the operator's last entry, with everything sent: for what is signed elsewhere."""
        with self._lock:
            self._caught_up()
            yield self._party, self._outbox

    @contextmanager
    def looking(self, seconds: float) -> Iterator[Party | None]:
        """Hold the agent for somebody who looks at it; None if it is at work for longer than that."""
        held = self._lock.acquire(timeout=seconds)
        try:
            yield self._party if held else None
        finally:
            if held:
                self._lock.release()

    def figures(self) -> list[RunFigures]:
        """Return the private figures of every decided run, oldest first. They stay at the institution."""
        return shortfalls.decided(self._store)

    @property
    def alarm(self) -> str | None:
        """Why no flag leaves under the keys in use until they are replaced, or None."""
        keys = self._keys.in_use()
        return None if keys is None else keys.alarm

    @property
    def contradiction(self) -> str | None:
        """What the operator signed that contradicts itself, or None. It costs no keys."""
        return self._chain.contradictions.shown

    @property
    def key_commitments(self) -> str | None:
        """Hash of the commitments to the FHE keys in use, for verifiers' trust files."""
        keys = self._keys.in_use()
        return None if keys is None else keys.key_commitments

    def close(self) -> None:
        """Release database and connections."""
        self._client.close()
        self._store.close()
        if self._lock_taken is not None:
            self._lock_taken.release()

    def _caught_up(self) -> None:
        """Follow the account, and send what no entry has."""
        self._followed()
        self._outbox.resend()

    def _followed(self) -> Account:
        """Return the account at the operator's last entry."""
        self.history.sync()
        if self.history.state is None:
            raise AgentRefused("the operator shows no entry of this account, not even its admission; talk to it")
        if self.history.state.public.keys is None:
            raise AgentRefused("the agent is not enrolled yet; enrol first")
        return self.history.state

    def _submit(
        self,
        sequence: int,
        portfolio: Portfolio,
        book: CommittedBook,
        account: Columned,
        settles: Settles | None = None,
        sharing: BookSharing | None = None,
    ) -> None:
        submitting.send(self._party, self._outbox, self._followed, sequence, portfolio, book, account, settles, sharing)

    def _replace_keys(self, alarmed: bool) -> None:
        """Replace keys whose decryptions did not agree; finish a replacement that was interrupted."""
        if alarmed and self._store.note("enrolled"):
            self.rotate_keys()
        else:
            self.enrol()
            self._renew()

    def _renew(self) -> None:
        """Bring again what has to be: under the keys in use, at the newest prices, in the newest universe."""
        renewals.bring_due(self._party, self._outbox, self._bring)

    def _bring(self, renewal: renewals.Renewal) -> None:
        if renewal.submission is None or renewal.committed is None:
            # Whoever waited for custodians here would answer nothing: the next round goes on with the deal.
            self.submit(renewal.portfolio, wait=False)
        else:
            number, book = self._followed().public.submissions + 1, renewal.committed
            sharing = self._dealt(number, book, renewal.submission)
            self._submit(number, renewal.portfolio, book, renewal.submission, sharing=sharing)


def _client_of(settings: AgentSettings, identity: Identity) -> OperatorClient:
    signer = RequestSigner(identity.public_key, identity.sign_request, settings.trust.operator)
    return OperatorClient(settings.operator_url, settings.institution, signer, verify=settings.verify)
