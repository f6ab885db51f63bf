"""Rotations of the identity key in games of orders: whose key is in force, and what whoever has another one tries."""

from collections.abc import Iterator

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine

from atomic_margin.service.protocol.account.entries import Chain, StateWriters, followed, recomputed
from atomic_margin.service.protocol.account.identities import keys_of
from atomic_margin.service.protocol.account.rotation_documents import IdentityRotation, rotation
from atomic_margin.service.protocol.account.state import Account
from atomic_margin.service.protocol.signing import Identity, SignedDocument

from .documents import INSTITUTION, Parties
from .truth import Truth

BY_THIEVES = st.sampled_from(["withdraw", "submit", "answer", "prove", "read", "rotate", "rotate the other"])
"""What whoever has a key that was replaced signs with it."""


class Rotating(RuleBasedStateMachine):
    """An account whose key is replaced, and everybody who has one that was.

    Attributes:
        replaced: keys that were in force, oldest first.
        made_keys: every key that a rotation was made to, by its public one.
    """

    parties: Parties
    truth: Truth
    records: dict[str, SignedDocument]

    def __init__(self) -> None:
        super().__init__()
        self.replaced: list[Identity] = []
        self.made_keys: dict[str, Identity] = {}

    def made(self, document: SignedDocument) -> SignedDocument:
        """Keep a document, so that it can be brought again."""
        raise NotImplementedError

    def rotation(self) -> SignedDocument:
        """A rotation to a new key, at the account's last entry."""
        new = Identity.generate()
        self.made_keys[new.public_key] = new
        return self.made(self.parties.rotation(new))

    def require_in_force(self, before: Account | None, document: SignedDocument) -> None:
        """Nothing that a replaced key signed is entered, whenever it was signed: told of every entry."""
        assert document.signer not in {one.public_key for one in self.replaced}
        assert before is None or document.signer in (before.public.identity, before.public.operator)

    def rotated(self, before: Account) -> None:
        """Note who signs from now on. Nothing else of the account is another, and nothing of it is lost."""
        parties, after = self.parties, self.parties.state
        self.replaced.append(parties.institution)
        parties.institution = self.made_keys[after.public.identity]
        changed = {name: getattr(after.public, name) for name in ("identity", "former", "newest")}
        if before.public.run is not None:
            # Every entry after that of a run's record names it.
            assert after.public.run is not None
            changed["run"] = before.public.run.model_copy(update={"entry": after.public.run.entry})
        assert before.public.model_copy(update=changed) == after.public
        assert before.private == after.private
        assert keys_of(after.public) == (*keys_of(before.public), parties.institution.public_key)
        assert keys_of(after.public)[:-1] == tuple(one.public_key for one in self.replaced)

    def by_a_thief(self, which: int, what: str) -> SignedDocument | None:
        """What could be entered now but for its signature, which is that of a key that was replaced."""
        if not self.replaced:
            return None
        parties, public = self.parties, self.parties.state.public
        thief, ours = self.replaced[which % len(self.replaced)], parties.institution
        with parties.signing(thief):
            if what == "withdraw":
                return parties.instruction(public.instructions + 1, "withdraw", 10 * parties.unit)
            if what == "submit":
                name = next(iter(self.truth.names.values()))
                return parties.submission(public.submissions + 1, name, max(public.key_sequence, 1))
            if what == "answer" and public.run is not None and public.run.record in self.records:
                record = self.records[public.run.record]
                return self.truth.answer(parties, record, public.run.entry or parties.chain.head)
            if what == "prove" and public.book is not None and parties.market:
                return parties.coverage()
            if what == "rotate":
                return parties.rotation(Identity.generate())
            if what == "rotate the other":
                said = rotation(INSTITUTION, public.operator, parties.chain.head, ours, Identity.generate())
                return IdentityRotation.parse(said.body).signed_by(thief)
            return parties.readers(public.readers + 1)

    def rotations_of_elsewhere(self) -> Iterator[SignedDocument]:
        """Rotations that the key in force signed, and no account takes: of another institution or operator, at another
        entry, to a key that the account had or has, or to one that nobody shows."""
        parties, new = self.parties, Identity.generate()
        ours, operator, head = parties.institution, parties.operator.public_key, parties.chain.head
        stale = parties.entries[-2][0].body_hash()
        yield rotation("other", operator, head, ours, new)
        yield rotation(INSTITUTION, Identity.generate().public_key, head, ours, new)
        yield rotation(INSTITUTION, operator, stale, ours, new)
        for known in (ours, parties.operator, *self.replaced):
            yield rotation(INSTITUTION, operator, head, ours, known)
        good = rotation(INSTITUTION, operator, head, ours, new)
        yield IdentityRotation.parse(good.body | {"possession": good.signature}).signed_by(ours)

    def replayed(self) -> None:
        """Whoever begins with nothing comes to the same, the institution as well as the operator at its next start."""
        parties, key = self.parties, self.parties.operator.public_key
        chain = again = Chain()
        writers = StateWriters.fresh()
        for entry, document in parties.entries:
            chain = followed(chain, entry, document, parties.salts, key)
            again = recomputed(again, entry, document, parties.salts, key, writers).chain
        assert chain == again == parties.chain
