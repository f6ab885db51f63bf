"""Documents of netting for tests of the machine: a party, obligations, and a cycle of one account."""

from datetime import date, timedelta

from atomic_margin.service.log.netted import CycleTree
from atomic_margin.service.protocol.account.netting_documents import Line, Netting, Obligation, PartyNaming
from atomic_margin.service.protocol.netting import net
from atomic_margin.service.protocol.signing import SignedDocument

from .documents import INSTITUTION, TIME, Parties, named
from .story import covered

PARTY = "lei-one"


def day(parties: Parties) -> str:
    """The day of the account's next cycle; each is a day later."""
    netting = parties.state.private.netting
    cycles = 0 if netting is None else netting.cycle
    return (date.fromisoformat(TIME[:10]) + timedelta(days=cycles)).isoformat()


def naming(parties: Parties) -> SignedDocument:
    """The operator names the account's party."""
    before = parties.state.private.netting
    body = {
        "number": str(1 if before is None else before.namings + 1),
        "entry": parties.chain.head,
        "party": PARTY,
        "scope": "party",
        "named_at": TIME,
    }
    return parties.by_operator(PartyNaming, body)


def of_a_party() -> Parties:
    """An account whose party is named."""
    parties = covered()
    parties.enter(naming(parties))
    return parties


def obligation(parties: Parties, direction: str, quantity: int = 5) -> SignedDocument:
    """The institution promises to bring, or to take."""
    netting = parties.state.private.netting
    assert netting is not None
    body = {
        "sequence": str(netting.obligations + 1),
        "entry": parties.chain.head,
        "party": PARTY,
        "scope": "party",
        "direction": direction,
        "asset": "USDC",
        "quantity": str(quantity),
        "settles": day(parties),
    }
    return parties.by_institution(Obligation, body)


def promised() -> Parties:
    """An account that has something pending, both ways."""
    parties = of_a_party()
    parties.enter(obligation(parties, "return", 5))
    parties.enter(obligation(parties, "delivery", 7))
    return parties


def cycle(parties: Parties, arrived: bool = True) -> SignedDocument:
    """The operator nets all that is pending; every delivery arrived, or none."""
    netting = parties.state.private.netting
    assert netting is not None
    lines = [
        Line.model_construct(
            salt=named("salt", line.sequence),
            institution=INSTITUTION,
            party=netting.party,
            scope=netting.scope,
            arrived=arrived or line.direction == "return",
            **{name: getattr(line, name) for name in ("sequence", "obligation", "direction", "asset", "quantity")},
            settles=line.settles,
        )
        for line in netting.pending
    ]
    settles = day(parties)
    keys = frozenset({("party", PARTY, "USDC", settles)}) if lines and arrived else frozenset()
    groups = net(lines, parties.operator.public_key, keys, lambda name: named("group", name))
    tree = CycleTree(groups)
    body = Netting.model_construct(
        institution=INSTITUTION,
        operator=parties.operator.public_key,
        cycle=netting.cycle + 1,
        settles=settles,
        entry=parties.chain.head,
        root=tree.root,
        size=tree.size,
        lines=tuple(tree.line(line) for line in lines),
        groups=tuple(tree.group(one) for one in groups),
        netted_at=f"{settles}T12:00:00Z",
    )
    return Netting.parse(body.canonical()).signed_by(parties.operator)
