"""What an institution chooses for its agent."""

from dataclasses import dataclass
from pathlib import Path

from atomic_margin.service.protocol.trust import TrustFile


@dataclass(frozen=True)
class AgentSettings:
    """Settings of one agent.

    Attributes:
        directory: keys and database, readable by their owner only.
        institution: its name at the operator.
        operator_url: where the operator's server is.
        trust: pinned operator, price rules and terms.
        gross_limit: G of its submissions, whole USD.
    """

    directory: Path
    institution: str
    operator_url: str
    trust: TrustFile
    gross_limit: int
