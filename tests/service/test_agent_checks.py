"""What an agent checks before it answers, against an operator that signs whatever it likes.

The same cheats meet running processes in `tests/adversary`; here each check is alone, so that a mutant of it is noticed
in seconds (`scripts/mutants.py`).
"""

import copy
import dataclasses
import hashlib
from collections.abc import Callable

import pytest

from atomic_margin.margin.market.market import Market
from atomic_margin.service.errors import AgentRefused
from atomic_margin.service.institution.runs import EvaluationMismatch
from atomic_margin.service.protocol.documents import RunRecord
from atomic_margin.service.protocol.signing import Identity, SignedDocument
from atomic_margin.service.protocol.terms import MATRIX_NAMES

from .documents import FUND, Json
from .double import trivial_words
from .world import World

RUN = f"{FUND}.2"
OTHER = "5a" * 32


@pytest.fixture
def world(world_at: Callable[[str], World]) -> World:
    """A breached run waits for its answer."""
    return world_at("fall-open")


def signed_again(world: World, document: Json, **changes: object) -> Json:
    return world.operator.identity.sign(document["type"], {**document["body"], **changes}).to_json()


def test_the_run_as_it_is_holds(world: World) -> None:
    assert world.decrypted(world.checked(world.shown(RUN))).value == 1


@pytest.mark.parametrize("name", ["model", "universe", "schedule", "profile", "generators", "entry_map"])
def test_a_run_under_terms_that_are_not_pinned_is_refused(world: World, name: str) -> None:
    view = world.shown(RUN)
    with pytest.raises(AgentRefused, match=f"another {name} than this agent pinned"):
        world.checked({**view, "record": signed_again(world, view["record"], **{name: OTHER})})


def test_prices_that_the_operator_changed_are_refused(world: World) -> None:
    view = world.shown(RUN)
    market = copy.deepcopy(view["tick"]["body"]["market"])
    market["underlyings"][min(market["underlyings"])]["spot"] = "50000"
    tick = signed_again(world, view["tick"], market=market)
    record = signed_again(world, view["record"], tick=SignedDocument.parse(tick).body_hash())
    with pytest.raises(AgentRefused, match="not what the signed documents combine to"):
        world.checked({**view, "tick": tick, "record": record})


def test_a_tick_before_that_the_operator_did_not_sign_is_refused(world: World) -> None:
    view = world.shown(RUN)
    before = view["last_market"]
    stranger = Identity.generate().sign("tick", before["body"]).to_json()
    with pytest.raises(AgentRefused, match="not trusted"):
        world.checked({**view, "last_market": stranger})
    with pytest.raises(AgentRefused, match="goes along"):
        world.checked({**view, "last_market": None})


@pytest.mark.parametrize("name", MATRIX_NAMES)
def test_a_matrix_that_the_prices_do_not_give_is_refused(world: World, name: str) -> None:
    """Two units off the collateral were once within tolerance, and cost a flat account its collateral."""
    view = world.shown(RUN)
    record = RunRecord.parse(view["record"]["body"])
    matrix = getattr(world.terms.matrices_of(record, Market.parse(view["tick"]["body"]["market"])), name)
    bent = dataclasses.replace(matrix, collateral=matrix.collateral - 1).hash()
    named = {**view["record"]["body"]["matrices"], name: bent}
    with pytest.raises(AgentRefused, match=f"{name}: the record of run .* names another matrix"):
        world.checked({**view, "record": signed_again(world, view["record"], matrices=named)})


def test_collateral_that_the_matrices_do_not_hold_is_refused(world: World) -> None:
    view = world.shown(RUN)
    posted = {asset: str(int(quantity) + 10**6) for asset, quantity in view["record"]["body"]["posted"].items()}
    with pytest.raises(AgentRefused, match="names another matrix"):
        world.checked({**view, "record": signed_again(world, view["record"], posted=posted)})


def test_a_flag_that_is_not_the_run_s_is_withheld(world: World) -> None:
    view = world.shown(RUN)
    other = trivial_words([0], world.evaluator.layout.messages["breach"])
    with pytest.raises(AgentRefused, match="not the one of the run record"):
        world.decrypted(world.checked(view), breach=other)
    outputs = {**view["record"]["body"]["outputs"], "breach": hashlib.sha256(other).hexdigest()}
    cheated = world.checked({**view, "record": signed_again(world, view["record"], outputs=outputs)})
    with pytest.raises(EvaluationMismatch, match="withheld"):
        world.decrypted(cheated, breach=other)
