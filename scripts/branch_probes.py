"""A plugin of pytest that plays contracts with probes (`branches.py`) and writes which outcomes were taken.

`coverage_contracts.py` starts pytest with it, and names in `FOLDER_VARIABLE` a folder: what is compiled there takes the
place of what is committed, and `taken.json` is written there when the tests are over. Both local chains are watched:
in eth-tester the probe is an instruction that is looked at, and costs nothing; of anvil every call and transaction is
traced. Both take contracts of any size.
"""

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import pytest
from branches import PROBES
from eth.abc import ComputationAPI, OpcodeAPI
from eth.vm.forks.prague.computation import PragueComputation
from eth.vm.forks.shanghai import computation as creation
from eth.vm.forks.spurious_dragon import computation as deployment
from web3 import Web3

from atomic_margin.contracts import artifact, local_chain

FOLDER_VARIABLE = "ATOMIC_MARGIN_PROBED_CONTRACTS"
COMPILED = "compiled"
TAKEN = "taken.json"
_STATICCALL = 0xFA
_STATICCALL_ARGUMENTS = 6
_NUMBERS = 32
"""Bits of an address that are an outcome's number."""
_ANY_SIZE = 1 << 20
_TRACER = {"tracer": "callTracer"}

_taken: set[int] = set()


def watched_opcodes(taken: set[int], turned: Set[int] = frozenset()) -> dict[int, OpcodeAPI]:
    """Return the instructions of eth-tester's machine; one of them notes which outcomes were taken.

    Args:
        taken: where they are noted.
        turned: those of conditions which go the other way.
    """
    opcodes = PragueComputation.opcodes
    return {**opcodes, _STATICCALL: _Watched(opcodes[_STATICCALL], taken, turned)}


def lift_limits() -> None:
    """Let eth-tester's machine have code of any size."""
    deployment.EIP170_CODE_SIZE_LIMIT = _ANY_SIZE
    creation.MAX_INITCODE_SIZE = _ANY_SIZE


def pytest_configure() -> None:
    """Put contracts and watchers in their places, for this process."""
    artifact.COMPILED = Path(os.environ[FOLDER_VARIABLE]) / COMPILED
    PragueComputation.opcodes = watched_opcodes(_taken)
    lift_limits()
    local_chain.anvil = _traced(local_chain.anvil)


def pytest_sessionfinish() -> None:
    """Write what was taken."""
    (Path(os.environ[FOLDER_VARIABLE]) / TAKEN).write_text(json.dumps(sorted(_taken)))


class _Watched(OpcodeAPI):
    """The instruction that calls: a probe is noted, and costs nothing; all else is called."""

    def __init__(self, genuine: OpcodeAPI, taken: set[int], turned: Set[int]) -> None:
        self.mnemonic, self.gas_cost = genuine.mnemonic, genuine.gas_cost
        self._genuine, self._taken, self._turned = genuine, taken, turned

    def __call__(self, computation: ComputationAPI) -> None:
        values: list[int | bytes] = computation._stack.values  # type: ignore[attr-defined]
        if len(values) >= _STATICCALL_ARGUMENTS:
            to = values[-2]
            address = to if isinstance(to, int) else int.from_bytes(to, "big")
            if _noted(address, self._taken):
                del values[-_STATICCALL_ARGUMENTS:]
                values.append(int(address - PROBES not in self._turned))
                return
        self._genuine(computation)

    @classmethod
    def as_opcode(cls, logic_fn: Callable[..., Any], mnemonic: str, gas_cost: int) -> OpcodeAPI:
        raise NotImplementedError(mnemonic)


def _traced(genuine: Callable[..., contextlib.AbstractContextManager[Web3]]) -> Any:
    """Return what starts anvil for contracts of any size, and traces all that is called and sent."""

    @contextlib.contextmanager
    def anvil(hardfork: str = "osaka", executable: Path = local_chain.ANVIL) -> Iterator[Web3]:
        with genuine(hardfork, executable, ["--disable-code-size-limit"]) as web3:
            _watch(web3)
            yield web3

    return anvil


def _watch(web3: Web3) -> None:
    provider: Any = web3.provider
    ask = provider.make_request

    def asked(method: str, params: Sequence[Any]) -> Any:
        answer = ask(method, params)
        if method == "eth_call":
            traced = ask("debug_traceCall", [params[0], params[1], _TRACER])
            # What is refused before it begins, such as too little gas to be sent, took no branch.
            if "result" in traced or "result" in answer:
                _note_all(traced)
        elif method in ("eth_sendTransaction", "eth_sendRawTransaction") and "result" in answer:
            # A block is mined for each at once.
            _note_all(ask("debug_traceTransaction", [answer["result"], _TRACER]))
        return answer

    provider.make_request = asked


def _note_all(answer: Mapping[str, Any]) -> None:
    if "result" not in answer:
        raise pytest.UsageError(f"anvil does not trace: {answer}")
    waiting = [answer["result"]]
    while waiting:
        frame = waiting.pop()
        _noted(int(frame.get("to") or "0", 16), _taken)
        waiting += frame.get("calls", ())


def _noted(address: int, taken: set[int]) -> bool:
    """Note the outcome that an address is of; return whether it is of any."""
    if address >> _NUMBERS != PROBES >> _NUMBERS:
        return False
    taken.add(address - PROBES)
    return True
