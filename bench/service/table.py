"""The table of what an account costs, a column for each profile, as Markdown.

>>> print(markdown([{"profile": "tiny", "columns": 16, "evaluation_key_bytes": 88605864, "keygen_s": 4.25}]))
| | tiny |
|---|---:|
| columns | 16 |
| make keys, s | 4.25 |
| evaluation keys, MB | 88.6 |
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Shown = Callable[[Any], str]


def _seconds(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


def _megabytes(value: int) -> str:
    return f"{value / 1e6:.1f}"


def _kilobytes(value: int) -> str:
    return f"{value / 1e3:.1f}"


def _counted(value: int) -> str:
    return f"{value:,}"


LINES: Sequence[tuple[str, str, Shown]] = (
    ("instruments", "instruments", _counted),
    ("columns", "columns", _counted),
    ("weight_bits", "bits of a weight", str),
    ("compile_s", "compile, once a machine, s", _seconds),
    ("keygen_s", "make keys, s", _seconds),
    ("commit_keys_s", "commit to keys, s", _seconds),
    ("evaluation_key_bytes", "evaluation keys, MB", _megabytes),
    ("expand_keys_s", "read and expand evaluation keys, s", _seconds),
    ("commit_s", "submission: commit, s", _seconds),
    ("encrypt_s", "submission: encrypt, s", _seconds),
    ("prove_submission_s", "submission: prove, s", _seconds),
    ("submission_proof_bytes", "submission: proofs, kB", _kilobytes),
    ("submission_bytes", "submission: upload, kB", _kilobytes),
    ("verify_submission_s", "submission: verify, s", _seconds),
    ("ciphertext_bytes", "ciphertext with expanded masks, MB", _megabytes),
    ("tick_rows_s", "tick: rows of all accounts, s", _seconds),
    ("tick_matrices_s", "tick: matrices of one account, s", _seconds),
    ("evaluate_surplus_s", "run: evaluate surplus, s", _seconds),
    ("evaluate_breach_s", "run: evaluate breach, s", _seconds),
    ("decrypt_s", "run: decrypt, s", _seconds),
    ("prove_covered_s", "answer, covered: prove, s", _seconds),
    ("verify_covered_s", "answer, covered: verify, s", _seconds),
    ("covered_proof_bytes", "answer, covered: proof, kB", _kilobytes),
    ("prove_breach_s", "answer, breach: prove, s", _seconds),
    ("verify_breach_s", "answer, breach: verify, s", _seconds),
    ("breach_proof_bytes", "answer, breach: proofs, kB", _kilobytes),
    ("worker_peak_bytes", "memory of the worker at most, MB", _megabytes),
)
"""Figures by key, what they are, and how they are written."""


def markdown(results: Sequence[Mapping[str, Any]]) -> str:
    """Return the table; a figure that no result has gets no line."""
    head = ["| " + " | ".join(("", *(str(result["profile"]) for result in results))).lstrip() + " |"]
    head.append("|---|" + "---:|" * len(results))
    lines = [
        f"| {what} | " + " | ".join(shown(result[key]) if key in result else "" for result in results) + " |"
        for key, what, shown in LINES
        if any(key in result for result in results)
    ]
    return "\n".join([*head, *lines])
