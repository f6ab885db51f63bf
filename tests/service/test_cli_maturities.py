"""`atomic-margin operator mature` against a running operator: what is printed, and the exit statuses."""

import json

from .documents import FUND
from .test_cli_operator import serving
from .test_maturities import AFTER, BEFORE, BILL, run
from .test_maturities import world as world
from .world import World


def test_the_cash_of_a_bill_is_booked_and_said(world: World) -> None:
    run(world, 1, BEFORE)
    with serving(world) as office:
        early = office.call("mature", BILL)
        assert (early.exit_code, json.loads(early.stdout)["field"]) == (1, "asset")
        assert "after a tick that is later" in json.loads(early.stdout)["detail"]
        asked = world.play(1, sequence="2", as_of=AFTER)
        waiting = office.call("mature", BILL)
        assert waiting.exit_code == 0
        assert waiting.stdout.count("book what matured after it is answered") == 2
        world.answer(asked)
        assert office.call("mature", BILL).stdout.splitlines() == [
            f"{FUND} posted: 15000000 {BILL} for 150000000000 USDC",
            f"{FUND} free: 5000000 {BILL} for 50000000000 USDC",
        ]
        assert office.call("mature", BILL).stdout == f"no account has any {BILL}\n"
        assert office.printed("mature", BILL, "--json") == {"matured": []}
        unknown = office.call("mature", "GOLD")
        assert (unknown.exit_code, "no such asset" in unknown.stdout) == (1, True)
        nobody = office.call("mature", BILL, operator="http://127.0.0.1:1")
        assert (nobody.exit_code, "atomic-margin serve" in nobody.output) == (2, True)
