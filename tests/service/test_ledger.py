"""The ledger: whatever is booked or refused, every asset sums to zero and nobody but the outside world owes."""

import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy.exc import IntegrityError

from atomic_margin.service.errors import Conflict, InsufficientFunds
from atomic_margin.service.operator.settlement import ledger
from atomic_margin.service.operator.settlement.ledger import EXTERNAL, MAX_AMOUNT, Move, book, free, liquidation, posted
from atomic_margin.service.operator.store.database import Store
from atomic_margin.service.operator.store.tables import LedgerPosting, LedgerTransaction

TOP = MAX_AMOUNT - 1
FUNDS = ("alpha", "beta")
ASSETS = ("USDC", "BTC")

quantities = st.integers(1, 1000) | st.integers(1, TOP) | st.sampled_from([1, TOP, TOP - 1, TOP // 2, TOP // 2 + 1])
funds, assets = st.sampled_from(FUNDS), st.sampled_from(ASSETS)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.in_directory(tmp_path)
    yield opened
    opened.close()


def booked(store: Store, reference: str, *moves: Move) -> None:
    with store.unit_of_work() as session:
        book(session, reference, "test", moves)


def seen(store: Store) -> dict[str, dict[str, int]]:
    with store.unit_of_work() as session:
        return {name: held for name, held in ledger.accounts(session).items() if held}


class Books(RuleBasedStateMachine):
    """Drives the real ledger next to a dictionary."""

    @initialize()
    def open(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.store = Store.in_directory(Path(self.folder.name))
        self.expected: dict[tuple[str, str], int] = {}
        self.references: list[str] = []

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
            self.folder.cleanup()

    def held(self, account: str, asset: str) -> int:
        return self.expected.get((account, asset), 0)

    def attempt(self, *moves: Move) -> None:
        """Book; the dictionary says beforehand whether it must succeed."""
        after = dict(self.expected)
        for move in moves:
            after[move.source, move.asset] = after.get((move.source, move.asset), 0) - move.quantity
            after[move.destination, move.asset] = after.get((move.destination, move.asset), 0) + move.quantity
        touched = {(account, move.asset) for move in moves for account in (move.source, move.destination)}
        short = any(after[each] < 0 and each[0] != EXTERNAL for each in touched)
        wide = any(abs(after[each]) >= MAX_AMOUNT for each in touched)
        reference = f"reference-{len(self.references)}"
        if short or wide:
            with pytest.raises(Conflict) as caught:
                booked(self.store, reference, *moves)
            assert wide or isinstance(caught.value, InsufficientFunds)
            return
        booked(self.store, reference, *moves)
        self.references.append(reference)
        self.expected = after

    @rule(fund=funds, asset=assets, quantity=quantities)
    def deposit(self, fund: str, asset: str, quantity: int) -> None:
        self.attempt(Move(asset, quantity, EXTERNAL, free(fund)))

    @rule(fund=funds, asset=assets, quantity=quantities)
    def withdraw(self, fund: str, asset: str, quantity: int) -> None:
        self.attempt(Move(asset, quantity, free(fund), EXTERNAL))

    @rule(fund=funds, asset=assets, part=st.fractions(0, 1))
    def post(self, fund: str, asset: str, part: object) -> None:
        quantity = int(self.held(free(fund), asset) * part)  # type: ignore[operator]
        if quantity:
            self.attempt(Move(asset, quantity, free(fund), posted(fund)))

    @rule(fund=funds, first=quantities, second=quantities)
    def margin_call(self, fund: str, first: int, second: int) -> None:
        moves = zip(ASSETS, (first, second), strict=True)
        self.attempt(*(Move(asset, quantity, free(fund), posted(fund)) for asset, quantity in moves))

    @rule(fund=funds)
    def liquidate(self, fund: str) -> None:
        self.attempt(
            *(
                Move(asset, self.held(account, asset), account, liquidation(fund))
                for account in (free(fund), posted(fund))
                for asset in ASSETS
                if self.held(account, asset)
            )
        )

    @rule(fund=funds, asset=assets, more=st.integers(1, 1000))
    def overdraw(self, fund: str, asset: str, more: int) -> None:
        quantity = self.held(posted(fund), asset) + more
        if quantity < MAX_AMOUNT:
            with pytest.raises(InsufficientFunds):
                booked(self.store, "overdrawn", Move(asset, quantity, posted(fund), liquidation(fund)))

    @rule(fund=funds, quantity=st.sampled_from([0, -1, MAX_AMOUNT, -MAX_AMOUNT, 2**63, 2**64]))
    def impossible(self, fund: str, quantity: int) -> None:
        """The second move is wrong; the first, alone, would be fine."""
        with pytest.raises(ValueError, match="between 1 and"):
            booked(
                self.store,
                "impossible",
                Move("USDC", 1, EXTERNAL, free(fund)),
                Move("USDC", quantity, EXTERNAL, free(fund)),
            )

    @precondition(lambda self: self.references)
    @rule(data=st.data())
    def again(self, data: st.DataObject) -> None:
        reference = data.draw(st.sampled_from(self.references))
        with pytest.raises(Conflict, match="booked already") as caught:
            booked(self.store, reference, Move("USDC", 1, EXTERNAL, free("alpha")))
        assert caught.value.field == "reference"

    @rule(fund=funds)
    def interrupted(self, fund: str) -> None:
        """What else the unit of work wanted to do fails after the booking."""
        if self.expected.get((free(fund), "USDC"), 0) + 1 > TOP or self.expected.get((EXTERNAL, "USDC"), 0) - 1 < -TOP:
            return

        def work() -> None:
            with self.store.unit_of_work() as session:
                book(session, "interrupted", "test", [Move("USDC", 1, EXTERNAL, free(fund))])
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            work()

    @invariant()
    def sums(self) -> None:
        if not hasattr(self, "store"):
            return
        with self.store.unit_of_work() as session:
            assert not any(ledger.totals(session).values())
            accounts = ledger.accounts(session)
            transactions = [row.reference for row in session.query(LedgerTransaction).order_by(LedgerTransaction.id)]
        assert transactions == self.references
        found = {(account, asset): amount for account, held in accounts.items() for asset, amount in held.items()}
        assert found == {key: amount for key, amount in self.expected.items() if amount}
        assert all(amount > 0 for (account, _), amount in found.items() if account != EXTERNAL)


TestBooks = Books.TestCase
TestBooks.settings = settings(
    max_examples=12,
    stateful_step_count=15,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


def test_the_largest_amount_there_and_back(store: Store) -> None:
    booked(store, "in", Move("USDC", TOP, EXTERNAL, free("alpha")))
    assert seen(store) == {EXTERNAL: {"USDC": -TOP}, "alpha/free": {"USDC": TOP}}
    for fund in FUNDS:
        with pytest.raises(Conflict, match="more USDC than the ledger counts"):
            booked(store, f"too much {fund}", Move("USDC", 1, EXTERNAL, free(fund)))
    for number in range(3):
        booked(store, f"post-{number}", Move("USDC", TOP, free("alpha"), posted("alpha")))
        booked(store, f"back-{number}", Move("USDC", TOP, posted("alpha"), free("alpha")))
    booked(store, "out", Move("USDC", TOP, free("alpha"), EXTERNAL))
    assert seen(store) == {}
    with store.unit_of_work() as session:
        assert ledger.totals(session) == {"USDC": 0}


def test_money_may_pass_through_an_account_within_one_transaction(store: Store) -> None:
    booked(
        store,
        "through",
        Move("USDC", 7, free("alpha"), posted("alpha")),
        Move("USDC", 7, EXTERNAL, free("alpha")),
    )
    assert seen(store) == {EXTERNAL: {"USDC": -7}, "alpha/posted": {"USDC": 7}}


def test_a_transaction_without_moves_is_booked_once(store: Store) -> None:
    booked(store, "settlement/empty.1")
    with pytest.raises(Conflict):
        booked(store, "settlement/empty.1")


def test_the_database_itself_refuses_a_second_reference(store: Store) -> None:
    """Were the check before the insert ever removed, the constraint would still hold."""
    with pytest.raises(IntegrityError), store.unit_of_work() as session:
        session.add_all(LedgerTransaction(reference="r", kind=kind, booked_at="now") for kind in "ab")
    with pytest.raises(IntegrityError), store.unit_of_work() as session:
        session.add(LedgerPosting(transaction_id=99, account="a", asset="USDC", amount=1))
    assert seen(store) == {}


def test_two_connections_cannot_spend_the_same_money(store: Store) -> None:
    """BEGIN IMMEDIATE: the second waits for the first, then sees what it left."""
    booked(store, "in", Move("USDC", 10, EXTERNAL, free("alpha")))
    barrier, outcomes = threading.Barrier(4), []

    def spend(number: int) -> None:
        barrier.wait()
        try:
            booked(store, f"spend-{number}", Move("USDC", 6, free("alpha"), EXTERNAL))
            outcomes.append("booked")
        except InsufficientFunds:
            outcomes.append("refused")

    threads = [threading.Thread(target=spend, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["booked", "refused", "refused", "refused"]
    assert seen(store)["alpha/free"] == {"USDC": 4}
