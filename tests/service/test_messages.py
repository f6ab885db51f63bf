"""What travels over the wire is typed on both sides: same JSON as ever, and what is malformed is refused by field."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from atomic_margin.documents.errors import DocumentError
from atomic_margin.service.errors import MalformedResponse, RemoteError
from atomic_margin.service.institution.client import OperatorClient
from atomic_margin.service.protocol import agent_messages, messages
from atomic_margin.service.protocol.agent_messages import (
    Instruction,
    Losses,
    OwnLoss,
    Promise,
    ReaderName,
    Reason,
    ReleaseWanted,
)
from atomic_margin.service.protocol.messages import (
    AccountView,
    Admission,
    Agreement,
    Deposit,
    LedgerView,
    ListedUniverse,
    Message,
    OperatorView,
    RequestBody,
    ResponseBody,
    RunItem,
    RunView,
)
from atomic_margin.service.protocol.policy import Policy
from atomic_margin.service.protocol.states import AccountState, RunState

from .world import FUND, World

WorldAt = Callable[[str], World]

ACCOUNT: dict[str, Any] = {
    "institution": "fund",
    "state": "active",
    "next_submission": "2",
    "next_instruction": "3",
    "next_keys": "4",
    "evaluation_keys": None,
    "policy": "always",
    "collateral": {"free": {"USDC": "5"}, "posted": {}},
    "runs": [{"run_id": "fund.7", "state": "awaiting_answer", "price_sequence": "7"}],
    "shortfalls": [],
}


def test_an_account_is_typed_here_and_the_same_json_there() -> None:
    view = AccountView.parse(ACCOUNT)
    assert (view.state, view.policy, view.next_submission) == (AccountState.ACTIVE, Policy.ALWAYS, 2)
    assert view.collateral.free == {"USDC": 5}
    assert view.runs == (RunItem(run_id="fund.7", state=RunState.AWAITING_ANSWER, price_sequence=7),)
    assert json.dumps(view.to_json()) == json.dumps(ACCOUNT)


def test_an_operator_may_be_newer_than_its_institutions() -> None:
    newer = {**ACCOUNT, "mood": "good", "runs": [{**ACCOUNT["runs"][0], "colour": "green"}]}
    assert AccountView.parse(newer) == AccountView.parse(ACCOUNT)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"state": "lost"}, "state"),
        ({"state": None}, "state"),
        ({"policy": "sometimes"}, "policy"),
        ({"next_submission": "02"}, "next_submission"),
        ({"next_submission": "-1"}, "next_submission"),
        ({"next_submission": str(2**63)}, "next_submission"),
        ({"next_submission": True}, "next_submission"),
        ({"next_submission": "9" * 5000}, "next_submission"),
        ({"collateral": {"free": {"USDC": "1.5"}, "posted": {}}}, "collateral.free.USDC"),
        ({"collateral": {"free": {}}}, "collateral.posted"),
        ({"runs": [{**ACCOUNT["runs"][0], "state": "active"}]}, "runs[0].state"),
        ({"runs": "none"}, "runs"),
    ],
    ids=str,
)
def test_a_malformed_response_is_refused_by_field(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(DocumentError) as refused:
        AccountView.parse({**ACCOUNT, **changes})
    assert refused.value.field == field


@pytest.mark.parametrize("name", ACCOUNT)
def test_no_field_of_a_response_may_be_left_out(name: str) -> None:
    with pytest.raises(DocumentError) as refused:
        AccountView.parse({key: value for key, value in ACCOUNT.items() if key != name})
    assert refused.value.field == name


def kinds() -> Iterator[type[Message]]:
    for module in (messages, agent_messages):
        for kind in vars(module).values():
            if (
                isinstance(kind, type)
                and issubclass(kind, Message)
                and kind not in (Message, RequestBody, ResponseBody)
            ):
                yield kind


@pytest.mark.parametrize("kind", sorted(set(kinds()), key=lambda kind: kind.__name__), ids=lambda kind: kind.__name__)
def test_every_message_is_frozen_and_requests_alone_forbid_what_they_do_not_know(kind: type[Message]) -> None:
    assert kind.model_config["frozen"]
    assert kind.model_config["strict"]
    assert kind.model_config["extra"] == ("forbid" if issubclass(kind, RequestBody) else "ignore")
    requests = {Admission, Agreement, Deposit, Instruction, ListedUniverse, Losses, ReaderName, Reason}
    requests |= {OwnLoss, Promise, ReleaseWanted}
    assert issubclass(kind, RequestBody) == (kind in requests)


def test_a_message_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        AccountView.parse(ACCOUNT).state = AccountState.FROZEN  # type: ignore[misc]


def client(answer: object) -> OperatorClient:
    """A client of an operator that answers everything with one JSON value."""
    made = OperatorClient("http://127.0.0.1:1", "fund", httpx.Auth())
    data = json.dumps(answer)
    made._http.close()
    made._http = httpx.Client(
        base_url="http://127.0.0.1:1", transport=httpx.MockTransport(lambda _: httpx.Response(200, text=data))
    )
    return made


def test_the_agent_s_client_parses_what_the_operator_answers() -> None:
    operator = client(ACCOUNT)
    assert operator.account() == AccountView.parse(ACCOUNT)
    operator.close()


@pytest.mark.parametrize(
    ("answer", "field"), [({**ACCOUNT, "state": "lost"}, "state"), ({"nonce": "x"}, "institution"), ([], "$")]
)
def test_the_agent_s_client_names_the_field_that_is_wrong(answer: object, field: str) -> None:
    operator = client(answer)
    with pytest.raises(MalformedResponse, match="the operator answers GET /v1/institutions/fund with") as refused:
        operator.account()
    assert refused.value.field == field
    assert isinstance(refused.value, RemoteError)
    operator.close()


def test_the_client_takes_no_entry_that_is_not_signed() -> None:
    operator = client({"type": "entry", "body": {}, "signer": "00"})
    with pytest.raises(MalformedResponse, match=r"no SignedDocument: signer: .*64 lower-case hex digits here"):
        operator.submit({})
    operator.close()


def test_what_the_operator_answers_parses_and_is_all_there_is(world_at: WorldAt) -> None:
    world = world_at("fall-done")
    for path, kind in (
        ("/v1/operator", OperatorView),
        (f"/v1/institutions/{FUND}", AccountView),
        (f"/v1/runs/{FUND}.2", RunView),
        (f"/v1/runs/{FUND}.1", RunView),
        ("/v1/ledger", LedgerView),
    ):
        answered = world.client.get(path, headers=world.admin).json()
        assert kind.parse(answered).to_json() == answered, path
    assert world.client.get("/v1/institutions", headers=world.admin).json() == {FUND: AccountState.ACTIVE}
