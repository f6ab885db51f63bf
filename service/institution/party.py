"""What every part of the agent works with."""

from collections.abc import Callable
from dataclasses import dataclass, field

from atomic_margin.service.institution.backoff import SaidOnce
from atomic_margin.service.institution.chain import MarketChain
from atomic_margin.service.institution.client import OperatorClient
from atomic_margin.service.institution.history import History
from atomic_margin.service.institution.keyring import KeyRing
from atomic_margin.service.institution.log_watch import LogWatch
from atomic_margin.service.institution.settings import AgentSettings
from atomic_margin.service.institution.store import InstitutionStore
from atomic_margin.service.protocol.signing import Identity
from atomic_margin.service.protocol.terms import Terms


@dataclass(frozen=True)
class Party:
    """One institution at one operator.

    Attributes:
        settings: what the institution chose.
        terms: pinned.
        identity: signs for the institution.
        keys: its FHE keys.
        store: its database.
        client: the operator.
        chain: the ticks that were seen.
        history: the account.
        stage: told what is going on.
        watch: reads the operator's log; None if the trust file names none.
        said: what a round after another would say again.
    """

    settings: AgentSettings
    terms: Terms
    identity: Identity
    keys: KeyRing
    store: InstitutionStore
    client: OperatorClient
    chain: MarketChain
    history: History
    stage: Callable[[str], None]
    watch: LogWatch | None
    said: SaidOnce = field(default_factory=SaidOnce)
