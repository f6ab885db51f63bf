"""What a trust file pins beside the terms, held against an account: waterfall rules, and collateral agreements. Pure.

Every reader asks the same here: of a bundle, of an archive, and of a history that an institution released.

An account may be opened without an agreement, and come under one later by an amendment; from then on it is under one
for ever. So where a trust file pins agreements for an institution, what counted none stands before the first one, and
is named; and an account that never comes under one is refused.
"""

from atomic_margin.service.errors import Refused
from atomic_margin.service.protocol.account.agreements import agreement_in_force
from atomic_margin.service.protocol.account.default_documents import CloseOut, FundContribution, FundDraw, Sale
from atomic_margin.service.protocol.account.state import PublicState
from atomic_margin.service.protocol.bodies import Body
from atomic_margin.service.protocol.trust import TrustFile


def check_agreement(public: PublicState, trust: TrustFile) -> None:
    """Make sure that the account is under an agreement of the trust file, or under none if that has none for it.

    Raises:
        Refused: it is under another one, or under none.
    """
    pinned = trust.agreements_of(public.institution)
    if public.agreement is None and not pinned:
        return
    for agreement in (trust.agreements or {}).get(public.institution, ()):
        sequence = 0 if public.agreement is None else public.agreement.sequence
        if agreement_in_force(agreement, sequence) == public.agreement:
            return
    name = "no agreement" if public.agreement is None else f"the agreement {public.agreement.agreement}"
    raise Refused(f"the account was under {name}, which the trust file does not pin for it", "recorded.agreement")


class Agreements:
    """Which agreements an account's runs and proofs counted, one after the other."""

    def __init__(self, trust: TrustFile) -> None:
        """Hold them against a trust file."""
        self._trust = trust
        self._without: list[str] = []

    def count(self, name: str, public: PublicState) -> None:
        """Take what was counted under a state of the account.

        Args:
            name: of the run, or of the entry.
            public: the account's.

        Raises:
            Refused: it is under another agreement than the trust file pins.
        """
        if public.agreement is not None:
            check_agreement(public, self._trust)
        elif self._trust.agreements_of(public.institution):
            self._without.append(name)

    def conclude(self, public: PublicState) -> tuple[str, ...]:
        """Return what counted no agreement though the trust file pins some: all before the first one.

        Args:
            public: the account in the end.

        Raises:
            Refused: it never came under one.
        """
        if self._without and public.agreement is None:
            raise Refused(
                f"the trust file pins agreements for {public.institution!r}, and the account is under none: "
                f"{', '.join(self._without[:8])} counted none; look at a part that goes on to its first agreement, "
                "or, if it was under none in that time, with a trust file that pins none",
                "agreements",
            )
        return tuple(self._without)


def check_waterfall(body: Body, trust: TrustFile) -> None:
    """Make sure that a sale, a close-out or a document of the fund is under the pinned waterfall rules.

    Raises:
        Refused: it is under others, or none are pinned.
    """
    if isinstance(body, FundDraw):
        body = body.close_out
    if not isinstance(body, Sale | CloseOut | FundContribution):
        return
    if body.rules.hash() != trust.waterfall:
        raise Refused(f"a {body.TYPE} is under other waterfall rules than the trust file pins as `waterfall`", "rules")
