"""Every error this package raises, in one tree.

FheError
├── MalformedCiphertext     words or a message that are no ciphertext of the profile
├── MalformedKeys           bytes that are no evaluation keys of the profile
├── EvaluationFailed        the worker process refused, died or ran out of its limits
│   ├── WorkerLost          the worker died, or was ended because it took too long: nothing is known of the job
│   └── ExecutorUnavailable no worker can be asked: the cluster is not there, or is being stopped
├── KeyStoreError           the institution's key file is missing, damaged or of another profile
└── DecryptionOutOfRange    a decrypted value whose error is larger than honest evaluation can leave
"""


class FheError(Exception):
    """Root of the errors of `atomic_margin.fhe`."""


class MalformedCiphertext(FheError):
    """Bytes that are not a ciphertext of the profile; nothing was evaluated."""


class MalformedKeys(FheError):
    """Bytes that are not evaluation keys of the profile; nothing was stored."""


class EvaluationFailed(FheError):
    """The worker could not evaluate. The worker is replaced; the call may be tried again."""


class WorkerLost(EvaluationFailed):
    """The worker died with the job, or took too long and was ended. That may be the job's doing, or anybody's."""


class ExecutorUnavailable(EvaluationFailed):
    """No worker can be asked now. Nothing was tried, so that says nothing about the job."""


class KeyStoreError(FheError):
    """The institution's key file is missing, damaged or made for another profile."""


class DecryptionOutOfRange(FheError):
    """The decryption error is too large for honest evaluation: withhold the value, raise an alarm, use new keys."""
