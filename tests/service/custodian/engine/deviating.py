"""The engine's process, with one thing changed: what a custodian that deviates can run. The first argument says which.

Everything else is the real engine, so that what it sends comes under the labels and in the rounds of the others.
"""

import asyncio
import itertools
import json
import os
import struct
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from atomic_margin.service.custodian.engine import connecting, process
from atomic_margin.service.custodian.engine.channel import Channel
from atomic_margin.service.custodian.engine.comparing import Arithmetic
from atomic_margin.zk.groups import ORDER
from atomic_margin.zk.sharing.interpolation import lagrange


def bomb(marker: str, as_scalars: bool) -> bytes:
    """A pickle that makes the file ``marker`` when it is loaded, of whole scalars; below r or, for some, not."""
    if not as_scalars:
        loaded = b"cos\nsystem\n(S'touch " + marker.encode() + b"'\ntR."
        return loaded + b"\xff" * (-len(loaded) % 32)
    # A byte below 0x73 stands last in each 32: blanks after the command move what follows, until that is so.
    for blanks in range(4096):
        command = marker.encode() + b" " * (blanks % 64)
        loaded = b"cos\nsystem\n(S'" + b" " * (blanks // 64) + b"touch " + command + b"'\ntR."
        loaded += bytes(-len(loaded) % 32)
        if all(last < 0x73 for last in loaded[31::32]):
            return loaded
    raise ValueError("no bomb of scalars for this path")


def _main(way: str, marker: str) -> None:
    plain_send, plain_multiply, plain_any = Channel.send, Arithmetic.multiply, Arithmetic.any
    plain_open, plain_make = Arithmetic.open, process.make_runtime
    sent = itertools.count()
    seen: list[tuple[int, int, list[int]]] = []
    recombined: list[list[int]] = []

    def send(self: Channel, label: int, payload: bytes) -> None:
        number = next(sent)
        if way in ("bomb", "bomb-of-scalars"):
            plain_send(self, label, bomb(marker, way == "bomb-of-scalars"))
        elif way == "oversized":
            self._writer.write(struct.pack("<BqI", 0, label, 0xFFFFFFFF))
        elif way == "garbage":
            self._writer.write(os.urandom(4096))
        elif way == "flood":
            for extra in range(100_000):
                plain_send(self, label + extra + 1, payload)
        elif way == "short":
            plain_send(self, label, payload[:32])
        elif way == "stop" and number == 20:
            os._exit(1)
        elif way != "silent":
            plain_send(self, label, payload)

    async def spoiled_any(self: Arithmetic, bits: Sequence[int]) -> int:
        count = len(self._runtime.parties)
        factor = lagrange(range(1, count + 1))[self._runtime.pid]
        # Whether no row is negative is the product, dealt anew by all: one that deals another part of it changes it.
        change = (-1 if way == "invent" else 1) * pow(factor, -1, ORDER)

        async def multiply(arithmetic: Arithmetic, left: Sequence[int], right: Sequence[int]) -> list[int]:
            other = [a + change * pow(b, -1, ORDER) for a, b in zip(left, right, strict=True)]
            return await plain_multiply(arithmetic, other, right)

        Arithmetic.multiply = multiply  # type: ignore[method-assign]
        try:
            return await plain_any(self, bits)
        finally:
            Arithmetic.multiply = plain_multiply  # type: ignore[method-assign]

    async def other_greeting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
        writer.write(b"GET / HT")
        await reader.readexactly(8)

    async def looking_open(self: Arithmetic, shares: Sequence[int]) -> list[int]:
        values = await plain_open(self, shares)
        seen.append((len(recombined[-1]), self._runtime.threshold, values))
        Path(marker).write_text(json.dumps(seen))
        return values

    def looking_make(*arguments: Any) -> tuple[Any, Any]:
        runtime, field = plain_make(*arguments)
        library = sys.modules["mpyc.runtime"].thresha  # type: ignore[attr-defined]
        plain_recombine = library.recombine

        def recombine(field: Any, points: list[tuple[int, list[int]]], *others: Any) -> Any:
            recombined.append([point for point, _ in points])
            return plain_recombine(field, points, *others)

        library.recombine = recombine
        return runtime, field

    Channel.send = send  # type: ignore[method-assign]
    if way in ("invent", "deny"):
        Arithmetic.any = spoiled_any  # type: ignore[method-assign]
    if way == "look":
        Arithmetic.open = looking_open  # type: ignore[method-assign]
        process.make_runtime = looking_make
    if way == "greeting":
        connecting._greet = other_greeting
    if way == "verdict":
        Channel.send_verdict = lambda self, _: self._send(1, 0, b'{"breach": true}')  # type: ignore[method-assign]
    process.main()


if __name__ == "__main__":
    _main(*sys.argv[1:])
