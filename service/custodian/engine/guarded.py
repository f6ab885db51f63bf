"""MPyC for one process and one opening, without what would run code of a peer.

Read in mpyc 0.11, bytes of peers are unpickled in `Runtime.transfer`, in `Runtime.shutdown` by way of it, and wherever
an array is put in, opened or reshared (`_distribute`, `output`, `_reshare`); other shares are read as numbers. So here
numpy is kept from it, which leaves it without arrays; its name for pickle refuses; `start`, `shutdown` and `transfer`
refuse; and once all is loaded, the process loads no class by pickle and starts nothing, whoever asks. Connections are
our own, and MPyC has no keys.
"""

import hashlib
import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from typing import Any

from atomic_margin.service.custodian.engine.channel import Channel
from atomic_margin.service.custodian.engine.errors import EngineUnavailable
from atomic_margin.zk.groups import ORDER

REFUSED_EVENTS = (
    "ctypes.dlopen",
    "os.exec",
    "os.fork",
    "os.forkpty",
    "os.posix_spawn",
    "os.system",
    "pickle.find_class",
    "subprocess.Popen",
)
"""Audit events that end what causes them, once the process is closed."""


class RefusedHere(RuntimeError):
    """Something was asked for that has no place in the process of an engine."""


class Unpickling:
    """What MPyC finds where it looks for pickle."""

    @staticmethod
    def loads(_: object) -> object:
        """Refuse."""
        raise RefusedHere("nothing that a peer sent is unpickled")

    @staticmethod
    def dumps(_: object) -> bytes:
        """Refuse."""
        raise RefusedHere("nothing is pickled for a peer")


def load_mpyc() -> Any:
    """Import MPyC without arguments, numpy and logs, and close its ways to pickle; return its module `runtime`.

    Raises:
        EngineUnavailable: it is not installed.
    """
    for name in [name for name in os.environ if name.startswith("MPYC_")]:
        del os.environ[name]
    # Next to nothing of what is computed here is quicker with gmpy2.
    os.environ.update(MPYC_NONUMPY="1", MPYC_NOGMPY="1", MPYC_NOUVLOOP="1", MPYC_MAXWORKERS="0")
    arguments, sys.argv = sys.argv, [*sys.argv[:1], "--no-log"]
    try:
        import mpyc.runtime as library
    except ImportError as error:
        raise EngineUnavailable(
            "opening a book needs the extra custodian: pip install 'atomic-margin[custodian]'"
        ) from error
    finally:
        sys.argv = arguments
    library.pickle = Unpickling
    return library


def make_runtime(index: int, channels: Sequence[Channel | None], degree: int) -> tuple[Any, Any]:
    """Return MPyC's runtime over these channels, and its field of integers modulo r.

    Args:
        index: place of this process among those present, from 0.
        channels: one for each present, None at ``index``.
        degree: of the polynomials that MPyC shares by, one less than the threshold.
    """
    library = load_mpyc()
    base = library.Runtime

    class Guarded(base):  # type: ignore[misc, valid-type]
        """MPyC's runtime, which meets nobody and transfers nothing."""

        def transfer(self, *_: object, **__: object) -> None:
            raise RefusedHere("transfer unpickles what peers send")

        def start(self) -> None:
            raise RefusedHere("connections are made by `connecting`")

        def shutdown(self) -> None:
            raise RefusedHere("connections are closed by `connecting`")

    options = Namespace(
        threshold=degree, no_log=True, no_async=False, no_barrier=True, no_prss=True, mix32_64bit=True, sec_param=128
    )
    parties = [library.Party(place) for place in range(len(channels))]
    for party, channel in zip(parties, channels, strict=True):
        party.protocol = channel
    runtime = Guarded(index, parties, options)
    # As its own `setup` does; of its other modules none is used.
    library.asyncoro.runtime = library.sectypes.runtime = runtime
    library.asyncoro._hop = _label
    return runtime, library.finfields.GF(ORDER)


def close_process() -> None:
    """Refuse, from now on and for good, to unpickle objects and to start programs. Call it when all is imported."""

    def refuse(event: str, _: object) -> None:
        if event in REFUSED_EVENTS:
            raise RefusedHere(event)

    sys.addaudithook(refuse)


def _label(counter: Sequence[int]) -> int:
    """MPyC's next program counter: the same on every platform, as with its option for mixed ones."""
    return int.from_bytes(hashlib.sha256(str(list(counter)).encode()).digest()[:8], "little", signed=True)
