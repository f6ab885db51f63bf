"""The operator's terms, taken only when they are the pinned ones. Institution only."""

from http import HTTPStatus
from typing import Any

from atomic_margin.circuits.profile import PROFILES
from atomic_margin.service.errors import ConfigurationError, RemoteError
from atomic_margin.service.institution.client import OperatorClient
from atomic_margin.service.institution.settings import AgentSettings
from atomic_margin.service.institution.store import InstitutionStore, OwnAccount
from atomic_margin.service.protocol.account.state import PublicState
from atomic_margin.service.protocol.price_rules import PriceRules
from atomic_margin.service.protocol.terms import Terms
from atomic_margin.service.protocol.trust import TrustFile
from atomic_margin.zk.generators import generators_hash


def pinned_terms(
    trust: TrustFile, client: OperatorClient, store: InstitutionStore, institution: str, identity: str
) -> Terms:
    """Fetch the operator's terms and compare them with the pinned hashes.

    Args:
        trust: the pins.
        client: of the operator.
        store: of the directory.
        institution: this institution's name.
        identity: its public key.

    Raises:
        ConfigurationError: something is not what is pinned; it is named. ModelNotServed for a model that cannot be run.
        RemoteError: the operator does not answer.
    """
    profiles = [profile for profile in PROFILES.values() if profile.hash() == trust.profile]
    if not profiles:
        raise ConfigurationError("the pinned profile is unknown to this version of atomic-margin; update it")
    terms = Terms.parse(client.terms("model"), _pinned_universe(trust, client), client.terms("schedule"), profiles[0])
    found = {**terms.hashes, "universe": terms.universe.hash()}
    for name in ("model", "universe", "schedule"):
        if found[name] != getattr(trust, name):
            raise ConfigurationError(f"the operator's {name} is not the pinned one; agree on it and pin its hash")
    if PriceRules.parse(client.terms("price_rules")).hash() != trust.prices.hash():
        raise ConfigurationError("the operator's price rules are not the pinned ones; agree on them and pin them")
    if generators_hash() != trust.generators:
        raise ConfigurationError("the pinned generators are not this version's; update atomic-margin or the pin")
    # Trust files go on naming the first key after it was replaced; the account's entries lead from there: `History`.
    pinned = trust.institutions.get(institution, identity)
    if pinned != identity and not _followed(store, identity) and not client.admitted(identity):
        raise ConfigurationError("the trust file pins another identity key for this institution")
    return terms


def _followed(store: InstitutionStore, identity: str) -> bool:
    """Return whether the account's entries, as far as they were followed here, put an identity key in force."""
    with store.unit_of_work() as session:
        row = session.get(OwnAccount, 1)
    return row is not None and row.public is not None and PublicState.parse(row.public).identity == identity


def require_own(settings: AgentSettings, store: InstitutionStore) -> None:
    """Make sure a directory is this institution's at this operator; a new one is from now on.

    Raises:
        ConfigurationError: it is of another institution, or at another operator.
    """
    for name, wanted in (("institution", settings.institution), ("operator", settings.trust.operator)):
        noted = store.note(f"own_{name}")
        if noted is None:
            store.set_note(f"own_{name}", wanted)
        elif noted != wanted:
            raise ConfigurationError(
                f"{settings.directory} is that of another agent: its {name} is {noted}, and {wanted} is asked for; "
                "use another --dir, or what it was made for"
            )


def _pinned_universe(trust: TrustFile, client: OperatorClient) -> Any:
    """Return the universe that is pinned; the account's entries lead on from there."""
    try:
        return client.universe(trust.universe)
    except RemoteError as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise
        raise ConfigurationError(
            "the operator's universe is not the pinned one, nor a revision of it; agree on it and pin its hash"
        ) from error
