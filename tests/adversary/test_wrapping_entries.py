"""Row: "negative, huge or wrapping entries". The portfolio proof, and before it the gross limit's bound, stop them.

Institution, operator and verifier each check the bound: the agent before it encrypts, the others before a proof.
"""

import copy

import pytest

from atomic_margin.margin.errors import MarginError
from atomic_margin.margin.market.portfolio import Portfolio
from atomic_margin.service.files import read_json
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.terms import AccountColumns
from atomic_margin.zk.groups import ORDER

from .attacks import Stage, signed_again, verify

pytestmark = [pytest.mark.fhe, pytest.mark.usefixtures("unmoved"), pytest.mark.long]


@pytest.mark.parametrize("entry", [-1, -7, 1 << 6, 1 << 31, 1 << 62, ORDER - 7])
def test_entries_out_of_range_are_refused(stage: Stage, entry: int) -> None:
    """As residues mod 2^64 the last two are the book's small entries again, and the ciphertexts are in order."""
    values = (entry, *stage.secrets.values[1:])
    assert stage.submit(stage.secrets.submit(committed=values)) == (422, "portfolio_proof")


def test_a_book_over_its_gross_limit_is_refused_by_all_three(stage: Stage) -> None:
    secrets = stage.secrets
    universe = stage.agent.terms.universe.hash()
    widths = stage.agent.terms.columns(stage.agent.settings.account(universe)).widths
    beyond = stage.agent.terms.columns(AccountColumns(universe, 1 << 60)).hash()
    full = tuple((1 << width) - 1 for width in widths)
    assert stage.submit(secrets.submit(committed=full)) == (422, "portfolio_proof")
    # Nor does a limit help that the rows could not hold.
    assert stage.submit(secrets.submit(committed=full, gross_limit=str(1 << 60), entry_map=beyond)) == (422, None)
    # The agent would not have made it, and a verifier refuses a bundle about it.
    book = copy.deepcopy(read_json(stage.world.examples / "portfolio.json"))
    book["lines"][0]["lots"] = "999"
    with pytest.raises(MarginError, match="gross"):
        stage.agent.submit(Portfolio.parse(book))
    changes = {"gross_limit": str(1 << 60), "entry_map": beyond}
    submission = signed_again(stage.bundle["body"]["submission"], stage.agent.identity, **changes)
    run = signed_again(
        stage.bundle["body"]["run"],
        stage.server,
        **changes,
        submission=SignedDocument.parse(submission).body_hash(),
    )
    verdict = verify(stage, signed_again(stage.bundle, stage.server, submission=submission, run=run))
    assert verdict["failed"] == "submission"
    assert "rows it must be below" in verdict["reason"]
