"""What the institution answers to a run it has checked: coverage with its proof, or a breach with flag and top-up.

A decrypted 0 is never part of an answer, and a flag that is withheld leaves a breach unanswered.
"""

import logging
from collections.abc import Callable
from typing import Any

from atomic_margin.service.institution.openings import KeyOpenings
from atomic_margin.service.institution.runs import CheckedRun, DecryptedFlag
from atomic_margin.service.institution.store import OwnSubmission
from atomic_margin.service.protocol.agent_messages import PrivateFigures
from atomic_margin.service.protocol.documents import Answer, AnswerClaim
from atomic_margin.service.protocol.signing import Identity, SignedDocument
from atomic_margin.service.protocol.statements import breach_statement, decryption_statement, sufficiency_statement
from atomic_margin.service.protocol.submissions import Submission
from atomic_margin.service.protocol.terms import Terms
from atomic_margin.zk.prove.breach import prove_breach
from atomic_margin.zk.prove.decryption import prove_decryption
from atomic_margin.zk.prove.sufficiency import prove_sufficiency
from atomic_margin.zk.prove.witness import BreachWitness, SufficiencyWitness

JsonObject = dict[str, Any]

_log = logging.getLogger(__name__)


def decide(
    run: CheckedRun,
    submission: Submission,
    own: OwnSubmission,
    flag: DecryptedFlag | None,
    openings: Callable[[], KeyOpenings],
    terms: Terms,
    identity: Identity,
    *,
    entry: str,
) -> SignedDocument | None:
    """Return the signed answer to a run, or None when a breach cannot be answered because the flag is withheld.

    Args:
        run: a checked run.
        submission: the submission it is about.
        own: the same with what opens its commitments.
        flag: the decrypted flag, None when it is withheld.
        openings: reads what opens the commitments to the FHE keys; called for a breach only.
        terms: the pinned terms.
        identity: signs the answer.
        entry: hash of the account's entry that has the run's record.
    """
    top_up, usd = 0, "0"
    if run.coverage is not None:
        shown = run.coverage
    else:
        if flag is None or flag.value != 1:
            _log.error(
                "run %s: the flag is withheld; the keys are replaced, then a new run can be answered", run.record.run_id
            )
            return None
        shown = run.position.initial()
        call = shown.top_up(terms, run.record, run.record.agreed)
        # A breach is answered with at least one step, even where initial margin alone would ask for nothing.
        top_up = max(call.units, call.step)
        usd = format(shown.rows.matrix.usd(top_up), "f")
    body: JsonObject = {
        "run_id": run.record.run_id,
        "run": run.run_hash,
        "entry": entry,
        "operator": run.record.operator,
        "institution": run.record.institution,
        "submission": own.sha256,
        "price_sequence": str(run.record.price_sequence),
        "outcome": "covered" if run.covered else "breach",
        "top_up": str(top_up),
        "top_up_usd": usd,
        **shown.said,
    }
    if not run.covered:
        body |= {"flag": "1", "flag_output": run.record.breach_output}
    claim = AnswerClaim.parse(body)
    values, blindings = tuple(int(value) for value in run.z), tuple(int(blinding) for blinding in own.blindings)
    sufficiency = sufficiency_statement(claim, terms, run.record, submission, shown.rows)
    witness = SufficiencyWitness(values, blindings, tuple(int(value) for value in shown.slack))
    proofs = {"sufficiency_proof": prove_sufficiency(sufficiency, witness)}
    if not run.covered and flag is not None:
        keys = openings()
        decryption = decryption_statement(claim, terms, run.record, keys.pair, flag.words, run.matrices)
        proofs["decryption_proof"] = prove_decryption(decryption, keys.flag)
        breach = breach_statement(claim, terms, run.record, submission, run.matrices)
        proofs["breach_proof"] = prove_breach(breach, BreachWitness(values, blindings))
    return claim.proven(Answer, **proofs).signed_by(identity)


def private_figures(
    run: CheckedRun, flag: DecryptedFlag | None, signed: SignedDocument | None, check_s: float, prove_s: float
) -> PrivateFigures:
    """Return what the institution keeps for itself about an answered run; seconds are those of its own stages."""
    unsaid = "silent" if run.record.outputs is None else "withheld"
    return PrivateFigures(
        run_id=run.record.run_id,
        price_sequence=run.record.price_sequence,
        plaintext_breach=run.plaintext_flag,
        decrypted_breach=None if flag is None else flag.value,
        outcome=unsaid if signed is None else str(signed.body["outcome"]),
        shortfall_true=f"{run.true.shortfall('maintenance'):.2f}",
        surplus_true=f"{run.true.excess['maintenance']:.2f}",
        worst_scenario=run.true.worst["maintenance"],
        top_up="0" if signed is None else str(signed.body["top_up_usd"]),
        seconds={"check_and_decrypt": f"{check_s:.3f}", "prove": f"{prove_s:.3f}"},
    )
