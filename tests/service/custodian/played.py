"""An account whose book is dealt to four custodians, at a real operator, up to an opening that is asked for.

Documents, proofs, deals, log and HTTP are the real ones. FHE is the double of `world`, and witnesses are keys whose
clocks a test sets.
"""

import hashlib
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from atomic_margin.margin.market.portfolio import Portfolio, encode
from atomic_margin.service.custodian.client import OperatorClient
from atomic_margin.service.custodian.computing import Engine, Listens
from atomic_margin.service.custodian.deals import Deals
from atomic_margin.service.custodian.folder import DATABASE, Folder
from atomic_margin.service.custodian.openings import Openings
from atomic_margin.service.custodian.own import Own
from atomic_margin.service.custodian.reading import Reading
from atomic_margin.service.custodian.store import Store
from atomic_margin.service.institution.share_boxes import seal_shares
from atomic_margin.service.log.checkpoints import witness_key
from atomic_margin.service.operator.accounts import enrolment, submissions
from atomic_margin.service.operator.custody import dealings, openings
from atomic_margin.service.operator.runs import evaluation
from atomic_margin.service.protocol.account.values import commitments_hash
from atomic_margin.service.protocol.custodian_messages import DealingUpload
from atomic_margin.service.protocol.custody import CustodyPolicy
from atomic_margin.service.protocol.dealings import BookSharing, Dealing, sharing_statement
from atomic_margin.service.protocol.share_boxes import BoxAddress, read_encryption_key
from atomic_margin.service.protocol.signing import Identity
from atomic_margin.service.protocol.submissions import SubmissionClaim
from atomic_margin.service.protocol.terms import AccountColumns, Terms
from atomic_margin.service.protocol.trust import TrustFile
from atomic_margin.zk.groups import load_group
from atomic_margin.zk.prove.commit import commit_values
from atomic_margin.zk.sharing.deal import SharingWitness, deal_shares
from atomic_margin.zk.sharing.messages import Deal, Shares

from .. import world as worlds
from ..documents import COLLATERAL, FUND, GROSS_LIMIT, example
from ..funds import Fund
from ..test_log_evidence import Watched
from ..world import World

Json = dict[str, Any]
POINTS = (1, 2, 5, 9)
DELAY = 3600
"""After which a book may be opened."""
LISTENS = Listens("127.0.0.1", 9, 60)


@dataclass
class Dealt:
    """A deal of the fund's book with everything about it.

    Attributes:
        values: of the book.
        committed: commitments and blindings.
        statement: what the deal is about.
        deal: public.
        shares: by point.
        boxes: by point.
        dealing: what is signed.
    """

    values: tuple[int, ...]
    committed: tuple[tuple[bytes, ...], tuple[int, ...]]
    deal: Deal
    shares: dict[int, Shares]
    boxes: dict[int, bytes]
    dealing: Dealing

    def upload(self, identity: Identity, **changes: Any) -> DealingUpload:
        """What the institution brings."""
        dealing = self.dealing.model_copy(update=changes)
        return DealingUpload.parse(
            {
                "dealing": dealing.signed_by(identity).to_json(),
                "coefficients": self.deal.to_bytes().hex(),
                "boxes": [box.hex() for box in self.boxes.values()],
            }
        )


def dealt(world: World, policy: CustodyPolicy, values: tuple[int, ...], name: str = FUND, **wrong: Any) -> Dealt:
    """Deal a book as the agent does.

    Args:
        world: where.
        policy: to whom.
        values: of the book.
        name: whose.
        wrong: `shares`, a function that changes them before they are sealed; `address`, what changes of a box's.
    """
    sequence = world.account(name).public.submissions + 1
    committed = commit_values(values, bytes(32), {"institution": name, "sequence": str(sequence)})
    account = AccountColumns(world.terms.universe.hash(), GROSS_LIMIT)
    claim = SubmissionClaim.model_construct(
        commitments=tuple(point.hex() for point in committed[0]),
        entry_map=world.terms.columns(account).hash(),
        gross_limit=GROSS_LIMIT,
    )
    body = {
        "institution": name,
        "operator": world.key,
        "policy": policy.hash(),
        "sequence": str(sequence),
        "book": commitments_hash(claim),
        "commitments": list(claim.commitments),
    }
    statement = sharing_statement(Dealing.parse({**body, "deal": "00" * 32, "boxes": []}), policy)
    deal, shares = deal_shares(statement, SharingWitness(values, committed[1]))
    by_point, boxes = {one.custodian: one for one in shares}, {}
    for keys, holder in zip(policy.custodians, policy.holders, strict=True):
        part = by_point[keys.point]
        sent = wrong.get("shares", lambda one: one)(part)
        address = BoxAddress(world.key, name, deal.hash, holder)
        boxes[keys.point] = seal_shares(sent, address, read_encryption_key(keys.encryption_key))
    hashes = [hashlib.sha256(box).hexdigest() for box in boxes.values()]
    dealing = Dealing.parse({**body, "deal": deal.hash.hex(), "boxes": hashes})
    return Dealt(values, committed, deal, by_point, boxes, dealing)


class Clock:
    """A custodian's clock, which a test moves."""

    def __init__(self, base: int) -> None:
        self.seconds = base

    def __call__(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, timezone.utc)


class Party:
    """One custodian with all its parts, at an operator in this process."""

    def __init__(self, scene: "Scene", point: int, directory: Path, engine: Engine, listens: Listens = LISTENS) -> None:
        self.scene, self.point, self.clock = scene, point, scene.clock
        self.folder = Folder(directory)
        self.store = Store(directory / DATABASE)
        self.own = Own(self.folder, self.store, scene.trust, self.clock, load_group())
        self.client = OperatorClient(
            "http://127.0.0.1", self.folder.identity, scene.world.key, transport=scene.world.client._transport
        )
        self.deals = Deals(self.own, self.client)
        self.reading = Reading(self.own, self.client)
        self.openings = Openings(
            self.own, self.client, self.reading, self.deals.held, engine, f"127.0.0.1:{listens.port}", listens
        )

    def close(self) -> None:
        self.client.close()
        self.store.close()


@dataclass
class Scene:
    """A stage of the story, opened.

    Attributes:
        world: the operator.
        watched: its log, with the witnesses' keys.
        trust: of every custodian.
        policy: of the account.
        dealt: the deal of the book.
        folder: of the custodians' folders.
        clock: of every custodian.
    """

    world: World
    watched: Watched
    trust: TrustFile
    policy: CustodyPolicy
    dealt: Dealt
    folder: Path
    clock: Clock

    def publish(self) -> None:
        """Have a checkpoint cosigned now, by the custodians' clock."""
        moment = self.clock.seconds
        self.watched.publish(moment, moment, moment)

    def party(self, point: int, engine: Engine | None = None) -> Party:
        """Open a custodian; its engine is the test's."""

        def none(*_: object) -> Any:
            raise AssertionError("no engine is expected to run here")

        return Party(self, point, self.folder / f"custodian-{point}", engine or none)

    def ask(self) -> str:
        """Ask for the opening; return the hash of the request."""
        return openings.ask(self.world.operator, FUND).request

    def close(self) -> None:
        self.world.close()


class Story:
    """Directories of operator and custodians at points of the story.

    `dealt`: the deal was brought. `receipted`: all custodians have their shares. `owed-calm`, `owed-fall`: the book is
    in force, and no answer came in time at a tick where it is covered, or breached.
    """

    def __init__(self, root: Path, terms: Terms | None = None, posted: Mapping[str, int] | None = None) -> None:
        """Play it.

        Args:
            root: of all directories.
            terms: of the operator, by default those of the small documents.
            posted: collateral, smallest units by asset; by default theirs.
        """
        self.root, self.source, self.terms = root, Identity.generate(), terms
        self.posted = posted or {asset: int(quantity) for asset, quantity in COLLATERAL["posted"].items()}
        self.funds: dict[str, Fund] = {}
        self.witnesses = [Identity.generate() for _ in range(3)]
        self.base = int(time.time())
        for point in POINTS:
            Folder.make(root / "custodians" / f"custodian-{point}")
        folders = {point: Folder(root / "custodians" / f"custodian-{point}") for point in POINTS}
        self.policy = CustodyPolicy.parse(
            {
                "format": "atomic-margin/custody/1",
                "name": "custody of 2026",
                "threshold": "2",
                "absent": "1",
                "custodians": [
                    {
                        "point": str(point),
                        "name": f"custodian-{point}",
                        "identity": one.identity.public_key,
                        "encryption_key": one.encryption_key,
                    }
                    for point, one in folders.items()
                ],
                "deal_seconds": "600",
                "opening_after_seconds": str(DELAY),
                "openings": "2",
            }
        )
        for one in folders.values():
            one.agree(self.policy)
        self._play()

    def open(self, stage: str, directory: Path) -> Scene:
        """Open a copy of a stage."""
        shutil.copytree(self.root / stage, directory)
        return self._scene(directory, stage)

    def _scene(self, directory: Path, stage: str) -> Scene:
        funds = {name: one.copy(True) for name, one in self.funds.items()}
        world = World(directory / "operator", self.source, funds, terms=self.terms)
        watched = Watched(world, 0)
        watched.identities = list(self.witnesses)
        watched.keys = [witness_key(f"w{number}", one.public_key) for number, one in enumerate(self.witnesses)]
        world.operator.settings = replace(
            world.operator.settings,
            witnesses=tuple(("http://127.0.0.1:9", key) for key in watched.keys),
            threshold=2,
        )
        trust = TrustFile.parse({**world.trust(), "log": watched.trust().canonical()})
        clock = Clock(self.base + (2000 if stage.startswith("owed") else 0))
        return Scene(world, watched, trust, self.policy, self.dealt, directory / "custodians", clock)

    def _play(self) -> None:
        world = World(self.root / "live" / "operator", self.source, self.funds, terms=self.terms)
        shutil.copytree(self.root / "custodians", self.root / "live" / "custodians")
        fund = self.funds.setdefault(FUND, Fund(FUND))
        enrolment.admit(
            world.operator, FUND, "Fund", fund.identity.public_key, world.allowances, None, custody=self.policy
        )
        assert world.start_enrolment(FUND, fund.keys()) == ["0", "1", "0", "1"]
        enrolment.confirm(world.operator, FUND, world.confirmation(FUND, fund.keys()).to_json())
        for asset, posted in self.posted.items():
            world.deposit(FUND, asset, posted + int(COLLATERAL["free"].get(asset, 0)), f"custodian-{asset}")
            world.instruct(FUND, "post", asset, posted)
        book = encode(Portfolio.parse(example("portfolio")), world.terms.universe, world.columns)
        self.dealt = dealt(world, self.policy, tuple(int(value) for value in book))
        dealings.bring(world.operator, FUND, self.dealt.upload(fund.identity))
        scene = self._keep(world, "dealt")
        receipts = []
        for point in POINTS:
            party = scene.party(point)
            assert party.deals.round() == 1
            row = party.store.deal(self.dealt.dealing.deal)
            assert row is not None
            receipts.append(row.said)
            party.close()
        scene = self._keep(scene.world, "receipted")
        sharing = BookSharing.parse(
            {"policy": self.policy.hash(), "deal": self.dealt.dealing.deal, "receipts": receipts}
        )
        sent = submit(scene.world, self.dealt, sharing)
        fund.sent[sent.submission.sequence] = sent
        scene = self._keep(scene.world, "submitted")
        scene.world.close()
        for name, tick in (("calm", 1), ("fall", 2)):
            shutil.copytree(self.root / "submitted", self.root / f"played-{name}")
            scene = self._scene(self.root / f"played-{name}", "submitted")
            owe(scene, tick)
            scene.world.close()
            shutil.copytree(self.root / f"played-{name}", self.root / f"owed-{name}")

    def _keep(self, world: World, stage: str) -> Scene:
        world.close()
        shutil.copytree(self.root / "live", self.root / stage)
        return self._scene(self.root / "live", stage)


def submit(world: World, book: Dealt, sharing: BookSharing) -> Any:
    """Submit a dealt book as the agent does."""
    with pytest.MonkeyPatch.context() as patched:
        made = worlds.make_submission
        patched.setattr(worlds, "make_submission", lambda *given, **named: made(*given, sharing=sharing, **named))
        sent = world.prepare_submission(FUND, book.values, book.committed)
    submissions.submit(world.operator, FUND, sent.signed.to_json())
    return sent


def owe(scene: Scene, tick: int) -> str:
    """Play a tick, and let the time to answer pass by the witnesses' clocks."""
    world, base = scene.world, scene.clock.seconds
    run_id = world.play(tick)
    scene.publish()
    scene.clock.seconds = base + 1000
    scene.publish()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(evaluation, "now", lambda: datetime.now(timezone.utc) + timedelta(seconds=1000))
        assert evaluation.sweep_deadlines(world.operator) == [run_id]
    return run_id
