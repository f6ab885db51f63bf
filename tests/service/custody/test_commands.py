"""The commands of custody: admission under a policy, its pin in a trust file, openings and how far they are."""

import json
from collections.abc import Callable
from pathlib import Path

from typer.testing import CliRunner

from atomic_margin.service.cli.main import app
from atomic_margin.service.operator.store.tables import EntryRow
from atomic_margin.service.protocol.signing import Identity
from atomic_margin.service.protocol.trust import TrustFile

from ..documents import FUND, OTHER, example_terms, price_rules
from ..test_cli_operator import serving
from .conftest import Custody, Later
from .holders import Holders
from .opening import Owed

At = Callable[..., Custody]
TERMS = example_terms()


def policy_file(folder: Path, holders: Holders) -> Path:
    path = folder / "policy.json"
    path.write_text(json.dumps(holders.policy.canonical()))
    return path


def test_an_institution_is_admitted_under_a_policy(custody_at: At, tmp_path: Path) -> None:
    world, holders = custody_at("enrolled").world, Holders()
    with serving(world) as office:
        named = ("--name", "Other Fund", "--identity", Identity.generate().public_key)
        office.printed("admit", OTHER, *named, "--custody", str(policy_file(tmp_path, holders)))
    with world.operator.store.reading() as session:
        admission = session.get_one(EntryRow, (OTHER, 1)).document
    assert admission is not None
    assert admission["body"]["custody"] == holders.policy.canonical()


def test_an_opening_is_asked_for_and_shown(custody_at: At, later: Later) -> None:
    custody = custody_at("dealt")
    with serving(custody.world) as office:
        refused = office.call("open", FUND)
        assert refused.exit_code == 1
        assert "no run is owed" in refused.output
        owed = Owed(custody, later, 1)
        asked = office.printed("open", FUND)
        assert asked["request"]["body"]["run_id"] == owed.run_id
        custody.holders[9].world = custody.world
        owed.request = custody.resident.state.public.custody.opening.request  # type: ignore[union-attr]
        custody.holders[9].posted(f"/openings/{owed.request}/refusal", {"reason": "TooEarly"})
        assert office.printed("openings", "--json")["openings"][0]["refusals"] == {"9": "TooEarly"}
        shown = office.call("openings").output
        assert owed.run_id in shown
        assert "9: TooEarly" in shown
        for point in (1, 2, 5):
            custody.holders[point].world = custody.world
            custody.holders[point].takes_part(owed.request)
        custody.holders[5].posted(f"/openings/{owed.request}/rows", {"session": "1", "box": "ab"})
        said = {"session": "1", "point": "5", "reason": "no share of the row"}
        part = {"address": "127.0.0.1:9001", "accuses": [said]}
        custody.holders[1].posted(f"/openings/{owed.request}/part", part)
        [accused] = office.printed("openings", "--json")["openings"][0]["accusations"]
        assert accused == {**said, "closer": "1"}
        shown = office.call("openings").output
        assert "accused" in shown
        assert "5 by 1" in shown


def test_a_policy_is_pinned_in_a_trust_file(tmp_path: Path) -> None:
    holders, key = Holders(), Identity.generate().public_key
    options = ["trust", "--operator", key, "--institution", f"{FUND}={key}"]
    options += ["--price-rules", str(rules(tmp_path))]
    for name in ("model", "universe", "schedule"):
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(getattr(TERMS, name).canonical()))
        options += [f"--{name}", str(path)]
    pinned = f"{FUND}={policy_file(tmp_path, holders)}"
    result = CliRunner().invoke(app, [*options, "--custody", pinned, "--profile", TERMS.profile.name])
    assert result.exit_code == 0, result.output
    assert TrustFile.parse(json.loads(result.stdout)).custody_of(FUND) == {holders.policy.hash()}
    other = CliRunner().invoke(
        app, [*options, "--custody", pinned.replace(FUND, "fnud"), "--profile", TERMS.profile.name]
    )
    assert other.exit_code == 2
    assert "--custody names 'fnud'" in other.output


def rules(folder: Path) -> Path:
    path = folder / "rules.json"
    path.write_text(json.dumps(price_rules(Identity.generate()).canonical()))
    return path
