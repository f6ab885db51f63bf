"""TenSEAL's CKKS for the linear part, A z + c: fast, with an error, and without signs."""

import statistics
from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np

from atomic_margin.bench.environment import peak_memory_bytes
from atomic_margin.bench.fhe.jobs import Job
from atomic_margin.circuits.cases import cases

SECURITY_BITS = 128
# That many bits of security at this degree allow 218 bits of modulus. One product uses up one level of 40 bits; what is
# left holds a row of 24 bits at this scale.
POLYNOMIAL_DEGREE = 8192
MODULUS_BITS = (60, 40, 40, 60)
LOG2_SCALE = 40
NEAR = 1
"""A row counts as near zero when it is at most this far from it."""


def measure_ckks(job: Job, stage: Callable[[str], None]) -> dict[str, Any]:
    """Return the figures of an encrypted vector times a plain matrix, or `skipped` where TenSEAL is not installed."""
    try:
        import tenseal
    except ImportError:
        return {"skipped": "TenSEAL is not installed; it comes with the optional extra `bench`"}
    stage("making keys")
    started = perf_counter()
    context = tenseal.context(tenseal.SCHEME_TYPE.CKKS, POLYNOMIAL_DEGREE, coeff_mod_bit_sizes=list(MODULUS_BITS))
    context.global_scale = 2.0**LOG2_SCALE
    context.generate_galois_keys()
    keygen_s = perf_counter() - started
    public = context.serialize(save_secret_key=False, save_galois_keys=True, save_relin_keys=False)

    seconds, error, near, wrong, wrong_rounded = [], 0.0, 0, 0, 0
    for number, (z, A, c) in enumerate(cases(job.profile, job.evaluations, job.seed)):
        stage(f"run {number + 1} of {job.evaluations}")
        if number % 2:
            # Every row at -1, 0 or 1; CKKS has no widths that c could leave.
            c = (np.arange(len(c)) + number) % 3 - 1 - A @ z
        encrypted = tenseal.ckks_vector(context, z.astype(float).tolist())
        started = perf_counter()
        product = encrypted.mm(A.T.astype(float).tolist()) + c.astype(float).tolist()
        seconds.append(perf_counter() - started)
        rows, decrypted = A @ z + c, np.array(product.decrypt())
        error = max(error, float(np.abs(decrypted - rows).max()))
        close = np.abs(rows) <= NEAR
        near += int(close.sum())
        wrong += int(((decrypted < 0) != (rows < 0))[close].sum())
        wrong_rounded += int(((np.rint(decrypted) < 0) != (rows < 0))[close].sum())
    return {
        "bootstraps": 0,
        "compile_s": 0.0,
        "keygen_s": keygen_s,
        "p_error": None,
        "security_bits": SECURITY_BITS,
        "evaluation_key_bytes": len(public),
        "cold_s": seconds[0],
        "warm_s": statistics.median(seconds[1:]),
        "input_bytes": len(encrypted.serialize()),
        "output_bytes": len(product.serialize()),
        "peak_memory_bytes": peak_memory_bytes(),
        "runs": len(seconds) - 1,
        "trials": job.evaluations,
        "wrong": None,
        "largest_error": error,
        "signs_near_zero": near,
        "wrong_signs_near_zero": wrong,
        "wrong_signs_near_zero_rounded": wrong_rounded,
    }
