"""What a bundle shows of its submission's gain: whoever lets a book gain more is found, though it signs everything."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from atomic_margin.service.errors import AttestationInvalid
from atomic_margin.service.operator.accounts import submissions, universes
from atomic_margin.service.protocol.account.entries import Entry, salted_hash
from atomic_margin.service.protocol.account.state import PublicState
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.submissions import Settles
from atomic_margin.service.protocol.trust import TrustFile
from atomic_margin.service.verifier.attestation import verify_attestation
from atomic_margin.zk.groups import Group

from .bundles import STEPS, step_that_fails
from .documents import FUND, Json, example
from .stages import Stages
from .test_attestation import check_leaves
from .test_gains import traded, vector
from .world import World

pytestmark = pytest.mark.usefixtures("proofs_checked_once")

PAID = 10**9


class Shown:
    """A bundle of a book that was compared with another, at prices, with the operator that would sign another one."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.trust = world.trust_file()
        world.settles = Settles.parse({"asset": "USDC", "quantity": str(PAID), "usd": "999"})
        sent = world.prepare_submission(FUND, vector(world, traded(world, cash="999")))
        submissions.submit(world.operator, FUND, sent.signed.to_json())
        world.settles, world.funds[FUND].sent[2] = None, sent
        run_id = world.play(2)
        world.answer(run_id)
        self.bundle: Json = world.bundle(run_id)

    def signed(self, change: Callable[[Json], Any]) -> Json:
        """The bundle with a change in its body, signed by the operator as a whole."""
        body = copy.deepcopy(self.bundle["body"])
        change(body)
        return self.world.operator.identity.sign("attestation", body).to_json()

    def entered(self, body: Json, **changes: Any) -> None:
        """Sign the entries round the submission anew, as the states and the submission in the bundle are now."""
        shown, sign = body["history"]["submitted"], self.world.operator.identity.sign
        for part in (shown["before"], shown["entered"]):
            public = PublicState.parse(part["public"]).canonical()
            entry = {**part["entry"]["body"], "public": salted_hash(part["salt"], public)}
            if part is shown["entered"]:
                entry["previous"] = SignedDocument.parse(shown["before"]["entry"]).body_hash()
                entry["document"] = salted_hash(shown["salt"], SignedDocument.parse(body["submission"]).canonical())
            part["entry"] = sign("entry", {**entry, **changes}).to_json()


@pytest.fixture(scope="module")
def shown(stages: Stages, tmp_path_factory: pytest.TempPathFactory) -> Any:
    world = stages.open("calm-done", tmp_path_factory.mktemp("gain") / "operator")
    yield Shown(world)
    world.close()


def test_a_gain_is_verified_from_the_bundle_alone(shown: Shown, group: Group) -> None:
    """At 64 columns or so the book before adds what a submission takes, and each tick its documents."""
    report = verify_attestation(shown.bundle, shown.trust, group)
    assert report.steps == STEPS
    gain = shown.bundle["body"]["gain"]
    assert set(gain) == {"before", "tick"}
    assert gain["before"]["body"]["sequence"] == "1"
    whole, added = len(json.dumps(shown.bundle)), len(json.dumps(gain))
    assert added < whole / 2


def test_nothing_in_it_can_be_changed(shown: Shown, group: Group) -> None:
    check_leaves(shown.bundle, shown.trust, group, ("body", "gain"))
    check_leaves(shown.bundle, shown.trust, group, ("body", "history", "submitted"))


def fails(bundle: Json, trust: TrustFile, group: Group, match: str) -> None:
    with pytest.raises(AttestationInvalid, match=match) as caught:
        verify_attestation(bundle, trust, group)
    assert caught.value.step == "gain"


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda body: body["gain"].pop("before"), "the book before goes along"),
        (lambda body: body["gain"].pop("tick"), "prices go along where there are some"),
        (lambda body: body["gain"].update(tick=body["tick"]), "prices of another tick"),
        (lambda body: body["gain"].update(before=body["submission"]), "compared with another book"),
        (lambda body: body["gain"].update(last_market=body["tick"]), "last_market"),
        (lambda body: body["gain"].update(universe=body["universe"]), "a universe goes along where"),
        (lambda body: body.pop("gain"), "the book before goes along"),
        (lambda body: body["history"]["submitted"].update(salt="1a" * 32), "does not follow the one that is shown"),
        (
            lambda body: body["history"]["submitted"].update(entered=body["history"]["recorded"]),
            "to another account than the run's, or after the run",
        ),
    ],
)
def test_what_the_gain_is_counted_from_goes_along(
    shown: Shown, group: Group, change: Callable[[Json], Any], match: str
) -> None:
    fails(shown.signed(change), shown.trust, group, match)


def more_allowed(public: Json) -> None:
    public["allowances"] = {"submission": "999999999999", "day": "999999999999"}


def compared_with_another(public: Json) -> None:
    public["book"]["submission"] = "1a" * 32


def at_other_prices(public: Json) -> None:
    public["newest"]["market_hash"] = "1a" * 32


def with_a_run_open(public: Json) -> None:
    public["status"] = "frozen"


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (more_allowed, "another than follows"),
        (compared_with_another, "compared with another book than the one it takes the place of"),
        (at_other_prices, "not at the same"),
        (with_a_run_open, "'losses settled' is not possible"),
    ],
)
def test_an_operator_that_says_another_state_before_the_submission_is_found(
    shown: Shown, group: Group, change: Callable[[Json], None], match: str
) -> None:
    def told(body: Json) -> None:
        change(body["history"]["submitted"]["before"]["public"])
        if change is more_allowed:
            change(body["history"]["submitted"]["entered"]["public"])
        shown.entered(body)

    fails(shown.signed(told), shown.trust, group, match)


def test_an_operator_that_leaves_the_collateral_posted_is_found(shown: Shown, group: Group) -> None:
    """The losses are gone from the book, and what was paid for them is still counted."""

    def told(body: Json) -> None:
        submitted = body["history"]["submitted"]
        submitted["entered"]["public"]["posted"] = submitted["before"]["public"]["posted"]
        shown.entered(body)

    fails(shown.signed(told), shown.trust, group, "the account after the submission is another than follows")


def test_an_operator_and_an_institution_together_make_no_gain_of_nothing(shown: Shown, group: Group) -> None:
    """Both sign what they like: less paid, a smaller claim, another proof. The record names the submission, so the
    bundle fails before; what `verify_gain` says of it alone is in `test_losses`."""

    def cheaper(body: Json) -> None:
        said = body["submission"]["body"]
        said["gain"]["settles"]["quantity"] = "1"
        body["submission"] = shown.world.funds[FUND].identity.sign("submission", said).to_json()
        shown.entered(body)

    assert step_that_fails(shown.signed(cheaper), shown.trust, group) == "submission"


def test_entries_are_those_of_the_account(shown: Shown, group: Group) -> None:
    def of_another(body: Json) -> None:
        shown.entered(body, account="1a" * 32)

    def signed_by_another(body: Json) -> None:
        entry = body["history"]["submitted"]["before"]["entry"]
        body["history"]["submitted"]["before"]["entry"] = (
            shown.world.funds[FUND].identity.sign("entry", entry["body"]).to_json()
        )

    fails(shown.signed(of_another), shown.trust, group, "another account")
    assert step_that_fails(shown.signed(signed_by_another), shown.trust, group) == "gain"
    assert (
        Entry.parse(shown.bundle["body"]["history"]["submitted"]["entered"]["entry"]["body"]).kind == "losses settled"
    )


def test_a_book_before_in_another_universe_comes_with_it(world_at: Callable[[str], World], group: Group) -> None:
    world = world_at("calm-done")
    document = {**example("universe"), "name": "the next one"}
    new = universes.announce(world.operator, document, "2027-01-01T00:00:00Z")
    world.submit(FUND, vector(world, traded(world)))
    run_id = world.play(2)
    world.answer(run_id)
    bundle = world.bundle(run_id)
    assert bundle["body"]["gain"]["universe"] == example("universe")
    # Whoever pins the first one follows the revision; whoever pins the second one follows it back.
    for pinned in (world.trust()["universe"], new):
        assert verify_attestation(bundle, TrustFile.parse({**world.trust(), "universe": pinned}), group).steps == STEPS

    def signed(change: Callable[[Json], Any]) -> Json:
        body = copy.deepcopy(bundle["body"])
        change(body)
        return world.operator.identity.sign("attestation", body).to_json()

    pins = TrustFile.parse({**world.trust(), "universe": new})
    fails(signed(lambda body: body["gain"].pop("universe")), pins, group, "a universe goes along where")
    fails(signed(lambda body: body.pop("revisions")), pins, group, "no revisions lead from universe")
    other = {**example("universe"), "name": "nobody's"}
    fails(signed(lambda body: body["gain"].update(universe=other)), pins, group, "no revisions lead from universe")
