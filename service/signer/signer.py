"""One signer: verifies what it is asked about, reads the vault, remembers, and signs. Any thread may ask.

Cheap checks come first: who signed the outside, and whether the vault has the run open at all. Then the documents are
verified, one request at a time, since that takes a core for seconds. The vault is read again behind that, and what is
signed is what it says then.
"""

import fcntl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from eth_account.signers.local import LocalAccount

from atomic_margin.contracts.attestations import Kind
from atomic_margin.contracts.message_json import message_json
from atomic_margin.contracts.run_keys import run_key
from atomic_margin.contracts.signatures import sign_message, signature_text
from atomic_margin.service.errors import ConfigurationError
from atomic_margin.service.protocol.chain_documents import RegistrationRequest
from atomic_margin.service.protocol.trust import TrustFile
from atomic_margin.service.signer.errors import RunNotOpen, SignerBusy, SigningRefused
from atomic_margin.service.signer.journal import Journal
from atomic_margin.service.signer.matrices import Place, SettlementRequest, claimed_run, matrix_message, verified_run
from atomic_margin.service.signer.portfolio import named_account, portfolio_message, verified_book
from atomic_margin.service.signer.vault import VaultReader
from atomic_margin.zk.groups import Group, load_group

WAIT_SECONDS = 60
"""For requests that are verified first."""

_ABOUT: Mapping[Kind, tuple[str, ...]] = {
    "MatrixAttestation": (
        "chain", "vault", "account", "run", "tick", "commitments", "free", "posted", "signerSet",
    ),
    "PortfolioAttestation": ("chain", "vault", "account", "sequence", "signerSet"),
    "ReleaseAttestation": ("chain", "vault", "account", "sequence", "signerSet"),
}  # fmt: skip
"""Fields that name what two messages must not say different things about."""


@dataclass(frozen=True)
class Signed:
    """An attestation as it is sent.

    Attributes:
        message: its fields.
        signature: r, s and v as `0x` hex.
        signer: address.
    """

    message: dict[str, str]
    signature: str
    signer: str


class Signer:
    """Signs for one key and one vault."""

    def __init__(
        self,
        directory: Path,
        key: LocalAccount,
        trust: TrustFile,
        vault: VaultReader,
        decimals: int | None = None,
        clock: Callable[[], int] = lambda: int(time.time()),
    ) -> None:
        """Open the folder with the journal; made if absent.

        Args:
            directory: readable by its owner only.
            key: of the signer.
            trust: its own anchors, with a log.
            vault: what it signs for.
            decimals: of the token, where it does not say them.
            clock: seconds of the epoch, for the journal.

        Raises:
            ConfigurationError: the trust file names no log, addresses or decimals are not the chain's, or another
                process uses the folder.
            ChainUnreachable: the node does not answer.
        """
        if trust.log is None:
            raise ConfigurationError(
                "a signer's trust file names the operator's log and its witnesses: without them an operator could have "
                "a run attested that nobody else was shown; see `atomic-margin trust --help`"
            )
        vault.check()
        self.address = str(key.address)
        self.place = Place(vault.addresses, _decimals(vault.decimals(), decimals))
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock_file = _lock_directory(directory / "lock")
        self.journal = Journal(directory / "journal.db")
        self._key, self._trust, self._clock = key, trust, clock
        self.vault = vault
        self._group: Group = load_group()
        self._one = threading.Lock()

    def sign_matrices(self, request: SettlementRequest) -> Signed:
        """Attest the matrices of a run.

        Raises:
            SigningRefused: something is wrong with the bundle, or the vault has the run otherwise.
        """
        with self._noting("MatrixAttestation") as subject, self._alone():
            run = run_key(claimed_run(request.bundle, self._trust.operator), request.round)
            subject.name = "0x" + run.hex()
            if not self.vault.run(run, self.address).open:
                raise RunNotOpen(
                    f"the vault does not have run 0x{run.hex()} open: open it by that name, and ask in time", "run"
                )
            verified = verified_run(request.bundle, self._trust, self._group)
            chain = self.vault.run(verified.run(request.round), self.address)
            message = matrix_message(verified, chain, self.place, request.expiry, request.round)
            return self._sign("MatrixAttestation", message, chain.at.now)

    def sign_portfolio(self, request: RegistrationRequest) -> Signed:
        """Attest that a book's portfolio proof holds, for the account that its institution named.

        Raises:
            SigningRefused: something is wrong with the documents, or the vault's account does not take the book.
        """
        with self._noting("PortfolioAttestation") as subject, self._alone():
            subject.name = named_account(request, self._trust, self.place).account
            book = verified_book(request, self._trust, self.place, self._group)
            chain = self.vault.account(book.account, book.commitments, self.address)
            message = portfolio_message(book, chain, self.place, request.sequence, request.expiry)
            return self._sign("PortfolioAttestation", message, chain.at.now)

    def close(self) -> None:
        """Release the folder."""
        self.journal.close()
        self._lock_file.close()

    def _sign(self, kind: Kind, message: Mapping[str, Any], now: int) -> Signed:
        said = message_json(kind, message)
        about = {name: said[name] for name in _ABOUT[kind]}
        # Stored before it is signed: what was signed is never forgotten.
        self.journal.remember(kind, about, said, now, self._clock())
        addresses = self.place.addresses
        signature = sign_message(self._key, kind, message, chain=addresses.chain, contract=addresses.oracle)
        return Signed(said, signature_text(signature), self.address)

    @contextmanager
    def _noting(self, kind: Kind) -> Iterator["_Subject"]:
        subject = _Subject()
        try:
            yield subject
        except SigningRefused as error:
            self.journal.refuse(kind, subject.name, error, self._clock())
            raise

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if not self._one.acquire(timeout=WAIT_SECONDS):
            raise SignerBusy("other requests are verified first; ask again in a minute")
        try:
            yield
        finally:
            self._one.release()


@dataclass
class _Subject:
    """Run or account that a request is about, once that is known."""

    name: str = "unknown"


def _decimals(said: int | None, given: int | None) -> int:
    if said is None and given is None:
        raise ConfigurationError("the token does not say its decimals: give them by --decimals")
    if said is not None and given is not None and said != given:
        raise ConfigurationError(f"--decimals {given}: the token says {said}")
    return said if said is not None else int(given or 0)


def _lock_directory(path: Path) -> IO[bytes]:
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise ConfigurationError(f"{path.parent} is used by another signer; stop that one first") from None
    return file
