"""The encrypted shortfall of an answered breach, for the institution alone: decrypted, compared, held against X.

The operator evaluates `shortfall` on the run's own ciphertext once the breach is settled. The agent decrypts it under
the keys of that run and compares it with its own integers. One that does not agree raises the alarm of a wrong flag. No
answer depends on it, and nothing derived from it is sent; that an alarm replaces the keys is all that anybody sees.

Then it is held against the top-up X of the answer. With S in units of the coarse maintenance matrix, 2^e, and X in
units of the fine initial matrix, 2^e', the agent checks

    (S - (1 + 2^-10) (z_1 + ... + z_N + 1)) 2^e  <=  X 2^e'

Every entry of a matrix is at most the true value and at most 1 + 2^-10 units below it (`margin.rows.rounding`), and
entries of z are not negative. So in the row that makes S the true surplus is at most (1 + 2^-10) (z_1 + ... + z_N + 1)
units above -S: that much rounding explains, and no more. The sufficiency proof says
that no row of the fine initial matrix, which is never above the true values, is below -X. The two meet as long as
initial margin asks for no less than maintenance margin in that row. An answer by rows with slack is held against what
those miss of maintenance margin instead, for the evaluated rows have none.

Whether the inequality holds follows from book, matrices and X alone, no ciphertext comes into it. So when it does not,
it is shown and logged, and no alarm is raised: new keys would mend nothing, and would tell the operator something about
the book. It means that the model's initial margin is the weaker one in that row (every scenario a gain, or collateral
at its floor of zero), so that X does not end the breach.
"""

import hashlib
import logging
from collections.abc import Callable, Sequence
from decimal import Decimal
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from atomic_margin.circuits import reference
from atomic_margin.circuits.limbs import join, split
from atomic_margin.documents.errors import DocumentsError
from atomic_margin.fhe.errors import DecryptionOutOfRange, MalformedCiphertext
from atomic_margin.fhe.institution import InstitutionKeys
from atomic_margin.margin.errors import MarginError
from atomic_margin.margin.market.portfolio import Portfolio
from atomic_margin.margin.rows.rounding import RunMatrices
from atomic_margin.service.errors import AgentRefused, RequestError
from atomic_margin.service.institution.party import Party
from atomic_margin.service.institution.runs import CheckedRun, EvaluationMismatch, check_run, present
from atomic_margin.service.institution.store import InstitutionStore, OwnAnswer, OwnShortfall
from atomic_margin.service.protocol.agent_messages import PrivateFigures, RunFigures, ShortfallFigures
from atomic_margin.service.protocol.bodies import parse_signed
from atomic_margin.service.protocol.documents import Answer, ShortfallRecord
from atomic_margin.service.protocol.messages import RunView
from atomic_margin.service.protocol.signing import SignedDocument
from atomic_margin.service.protocol.submissions import Submission

IntArray = npt.NDArray[np.int64]

FUNCTION = "shortfall"
# Largest distance of an entry from its true value, in units; see `margin.rows.rounding.round_down`.
ROUNDING_UNITS = 1 + Fraction(1, 1024)

_log = logging.getLogger(__name__)


def check_recorded(party: Party, recorded: Sequence[str]) -> list[str]:
    """Check the shortfall of every answered breach among `recorded` that was not checked; return their runs.

    What is refused or does not agree is stored as that, and not looked at again.

    Args:
        party: what to check with.
        recorded: runs whose shortfall the operator says it has recorded.

    Raises:
        RemoteError: the operator does not answer or refuses; the next call goes on from there.
        KeyStoreError: the file of the run's keys is missing or damaged.
    """
    with party.store.unit_of_work() as session:
        checked = {run_id for (run_id,) in session.query(OwnShortfall.run_id)}
        delivered = session.query(OwnAnswer).filter(OwnAnswer.entry.is_not(None), OwnAnswer.run_id.in_(recorded))
        due = [row for row in delivered.order_by(OwnAnswer.price_sequence) if row.run_id not in checked]
    due = [row for row in due if row.document is not None and row.document["body"]["outcome"] == "breach"]
    for row in due:
        result = _check(party, row)
        with party.store.unit_of_work() as session:
            session.add(result)
    return [row.run_id for row in due]


def figures(store: InstitutionStore) -> dict[str, ShortfallFigures]:
    """Return what is known of every checked shortfall, by run."""
    with store.unit_of_work() as session:
        return {
            row.run_id: ShortfallFigures(
                agreed=row.agreed,
                units=row.units,
                usd=row.usd,
                within_top_up=row.within_top_up,
                record=row.record,
                problem=row.problem,
            )
            for row in session.query(OwnShortfall)
        }


def decided(store: InstitutionStore) -> list[RunFigures]:
    """Return the private figures of every decided run, oldest first, with those of its shortfall."""
    with store.unit_of_work() as session:
        rows = session.query(OwnAnswer).order_by(OwnAnswer.price_sequence, OwnAnswer.run_id).all()
    short = figures(store)
    return [
        RunFigures(
            **dict(PrivateFigures.parse(row.figures)),
            delivered=row.entry is not None,
            shortfall=short.get(row.run_id),
        )
        for row in rows
    ]


def check_record(signed: SignedDocument, record: ShortfallRecord, operator: str, run: CheckedRun) -> None:
    """Check that the pinned operator signed the record, for this run and its ciphertext.

    Raises:
        SignatureInvalid: somebody else signed it, or nobody.
        AgentRefused: it is about another run or ciphertext.
    """
    signed.verify(frozenset({operator}))
    wanted = {"operator": operator, "run": run.run_hash, "ciphertext": run.record.ciphertext}
    for name, value in wanted.items():
        if getattr(record, name) != value:
            raise AgentRefused(f"the shortfall record of {run.record.run_id!r} has another {name} than the run")


def decrypt_and_compare(
    run: CheckedRun, record: ShortfallRecord, keys: InstitutionKeys, output_of: Callable[[str], bytes]
) -> int:
    """Decrypt the shortfall, compare it with the agent's own integers, and return it in units of the coarse matrix.

    Args:
        run: a checked run.
        record: its checked shortfall record.
        keys: the FHE keys of the run.
        output_of: fetches the raw words of a function's output.

    Raises:
        AgentRefused: the words are not those of the record, or no output of the profile; nothing was decrypted.
        DecryptionOutOfRange: an error that honest evaluation does not leave.
        EvaluationMismatch: the shortfall is not what the agent's integers give.
    """
    words = output_of(FUNCTION)
    if hashlib.sha256(words).hexdigest() != record.output:
        raise AgentRefused("the shortfall output sent is not the one of its record")
    try:
        limbs = keys.decrypt(FUNCTION, words).values
    except MalformedCiphertext as error:
        raise AgentRefused(f"the shortfall output is none of the profile: {error}") from error
    # Rows that pad the matrix to the profile are never short.
    matrix = run.matrices.maintenance_fhe
    expected = reference.shortfall(run.z, matrix.weights, matrix.collateral)
    if not np.array_equal(limbs, split(expected, keys.profile.bits)):
        raise EvaluationMismatch("the decrypted shortfall is not that of the run's matrix")
    return join(limbs)


def within_top_up(shortfall: int, top_up: int, matrices: RunMatrices, z: IntArray) -> bool:
    """Return whether the top-up is at least the shortfall less what rounding explains, in integers.

    Args:
        shortfall: S, in units of the coarse maintenance matrix.
        top_up: X, in units of the fine initial matrix.
        matrices: of the run.
        z: entries of the book, shape (N,).
    """
    explained = ROUNDING_UNITS * (int(z.sum()) + 1)
    return (shortfall - explained) * matrices.maintenance_fhe.unit <= top_up * matrices.initial_proof.unit


def missing_in(run: CheckedRun) -> Decimal:
    """Return what the book misses of maintenance margin in the rows that are proven, USD."""
    shown = next(run.position.rows("maintenance"))
    return shown.rows.matrix.usd(max(0, -shown.least))


def _check(party: Party, row: OwnAnswer) -> OwnShortfall:
    result = OwnShortfall(run_id=row.run_id, agreed=False)
    try:
        view = party.client.run(row.run_id)
        run = _run(party, view, row)
        signed, record = parse_signed(None if view.shortfall is None else view.shortfall.record, ShortfallRecord)
        result.record, result.document = signed.body_hash(), signed.to_json()
        check_record(signed, record, party.settings.trust.operator, run)
        own_keys = party.keys.of(run.record.evaluation_keys)
        try:
            units = decrypt_and_compare(
                run, record, party.keys.secret(own_keys), lambda name: party.client.output(row.run_id, name)
            )
        except (DecryptionOutOfRange, EvaluationMismatch) as reason:
            party.keys.raise_alarm(own_keys, str(reason))
            result.problem = str(reason)
            return result
    except (AgentRefused, RequestError, DocumentsError, MarginError) as refusal:
        # Nothing was decrypted, so the keys are as good as before.
        _log.error("the shortfall of run %s is not looked at: %s", row.run_id, refusal)
        result.problem = str(refusal)
        return result
    answer = Answer.parse((row.document or {})["body"])
    result.agreed, result.units = True, units
    result.usd = format(run.matrices.maintenance_fhe.usd(units), "f")
    if answer.form is None:
        result.within_top_up = within_top_up(units, answer.top_up, run.matrices, run.z)
    else:
        # What was evaluated has no slack, and may find more missing than there is.
        result.within_top_up = missing_in(run) <= Decimal(answer.top_up_usd)
    if not result.within_top_up:
        _log.error(
            "run %s: the top-up is smaller than the shortfall, beyond rounding: the model asks for less initial than "
            "maintenance margin in the worst row, so expect another call",
            row.run_id,
        )
    return result


def _run(party: Party, view: RunView, row: OwnAnswer) -> CheckedRun:
    """Check the run once more, as when it was answered, and that it is the one that was."""
    presented = present(view)
    own = party.store.submission(presented.record.submission)
    if own is None:
        raise AgentRefused(f"run {row.run_id!r} is about a submission this directory cannot open")
    submission, book = Submission.parse(own.document["body"]), Portfolio.parse(own.portfolio)
    run = check_run(presented, party.settings.trust, party.terms, submission, own.sha256, book)
    if run.run_hash != row.run_hash:
        raise AgentRefused(f"run {row.run_id!r} has another record than the one that was answered")
    return run
