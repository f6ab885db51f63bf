"""The branches of Solidity sources, and sources that say which outcome of each was taken. For `coverage_contracts.py`.

What a branch is: every condition of `if`, `while`, `?:`, `require`, every operand of `&&` and `||` on its own (true and
false), every loop (entered, and left without a turn), every clause of `try`, and `if`, `switch` and `for` of inline
assembly. What stands in a modifier counts once for each function that has it.

An outcome leaves its number in the address of a STATICCALL without gas, data or answer. No memory, storage or event is
touched, so it can stand anywhere in a function that reads; functions that say `pure` say `view` in the copy. Nothing
else is changed, and no line is added or taken away.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

Node = Mapping[str, Any]

PROBES = int.from_bytes(b"branch", "big") << 112
"""Address of outcome 0; others follow. Nobody has code there."""
PROBES_SOURCE = "Probes.sol"
PROBES_TEXT = f"""// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

function __taken(uint256 outcome) view {{
    assembly ("memory-safe") {{ pop(staticcall(0, add({PROBES}, outcome), 0, 0, 0, 0)) }}
}}

function __branch(uint256 outcome, bool value) view returns (bool) {{
    bool kept;
    assembly ("memory-safe") {{ kept := staticcall(0, add({PROBES}, add(outcome, iszero(value))), 0, 0, 0, 0) }}
    // What watches may turn it round (`branch_flips.py`); a call of nobody succeeds.
    return kept == value;
}}
"""
_YUL_PROBES = f"""
 function __yulTaken(outcome) {{ pop(staticcall(0, add({PROBES}, outcome), 0, 0, 0, 0)) }}
 function __yulBranch(outcome, value) -> same {{ same := value __yulTaken(add(outcome, iszero(value))) }} """.replace(
    "\n", ""
)
_USE = "__use"
_FIRST_AT_ITS_PLACE = 1 << 60
_BRACED = {"Block", "UncheckedBlock", "InlineAssembly", "TryStatement"}


class Unsupported(Exception):
    """A construct that cannot be watched: say so rather than leave it out."""


@dataclass(frozen=True)
class Outcome:
    """One way that one branch can go.

    Attributes:
        source: file name below the folder of sources.
        line: of the branch; for what stands in a modifier, of the function's use of it.
        function: `Contract.function`, or the function alone if it is free.
        kind: `if`, `loop`, `operand` and so on.
        text: the condition.
        outcome: `true`, `false`, `entered`, `skipped`, or a clause.
    """

    source: str
    line: int
    function: str
    kind: str
    text: str
    outcome: str


@dataclass(frozen=True)
class Instrumented:
    """Sources that say which outcomes were taken, by file name, and what the numbers mean."""

    sources: dict[str, str]
    outcomes: tuple[Outcome, ...]


def instrumented(texts: Mapping[str, str], trees: Mapping[str, Node]) -> Instrumented:
    """Return the sources with probes.

    Args:
        texts: each source, by file name.
        trees: the compiler's syntax tree of each.

    Raises:
        Unsupported: a construct that cannot be watched.
    """
    outcomes: list[Outcome] = []
    modifiers: dict[int, list[Outcome]] = {}
    files = {name: _File(name, text, modifiers, outcomes) for name, text in texts.items()}
    for name, file in files.items():
        for contract in trees[name]["nodes"]:
            for node in contract.get("nodes", ()):
                if node["nodeType"] == "ModifierDefinition":
                    file.modifier(contract["name"], node)
    for name, file in files.items():
        file.visit(trees[name])
    return Instrumented(
        {PROBES_SOURCE: PROBES_TEXT} | {name: file.rewritten() for name, file in files.items()}, tuple(outcomes)
    )


class _File:
    """One source and what is put into it."""

    def __init__(self, name: str, text: str, modifiers: dict[int, list[Outcome]], outcomes: list[Outcome]) -> None:
        self._name, self._data = name, bytearray(text.encode())
        self._modifiers, self._outcomes = modifiers, outcomes
        # Of a modifier, whose outcomes get their numbers where it is used.
        self._local: list[Outcome] | None = None
        self._contract, self._function = "", ""
        self._loops = 0
        self._put: list[tuple[tuple[int, int, int, int], str]] = []

    # Text

    def rewritten(self) -> str:
        """Return the source with all that was put into it."""
        made, last = bytearray(), 0
        for (place, *_), text in sorted(self._put):
            made += self._data[last:place] + text.encode()
            last = place
        made += self._data[last:]
        up = os.path.relpath(PROBES_SOURCE, PurePosixPath(self._name).parent)
        path = up if up.startswith("..") else f"./{up}"
        head, pragma, rest = made.decode().partition("pragma solidity 0.8.30;")
        if not pragma:
            raise Unsupported(f"{self._name} does not say `pragma solidity 0.8.30;`")
        return f'{head}{pragma} import {{__branch, __taken}} from "{path}";{rest}'

    def _around(self, start: int, end: int, before: str, after: str) -> None:
        """Put something around a span: what is around more comes first before it, and last behind it."""
        number = len(self._put)
        self._put.append(((start, 1, -end, number), before))
        self._put.append(((end, 0, -start, -number), after))

    def _at(self, place: int, text: str) -> None:
        self._put.append(((place, 1, -_FIRST_AT_ITS_PLACE, len(self._put)), text))

    def _text(self, node: Node) -> str:
        start, end = _span(node)
        return " ".join(self._data[start:end].decode().split())

    def _line(self, node: Node) -> int:
        return self._data.count(b"\n", 0, _span(node)[0]) + 1

    def _statement_end(self, node: Node) -> int:
        """Where a statement ends; the compiler leaves some semicolons out."""
        kind = node["nodeType"]
        if kind == "IfStatement":
            return self._statement_end(node.get("falseBody") or node["trueBody"])
        if kind in ("ForStatement", "WhileStatement"):
            return self._statement_end(node["body"])
        end = _span(node)[1]
        if kind in _BRACED or self._data[end - 1 : end] == b";":
            return end
        return self._data.index(b";", end) + 1

    # Numbers

    def _add(self, node: Node, kind: str, text: str, *outcomes: str) -> int:
        found = self._outcomes if self._local is None else self._local
        first = len(found)
        function = f"{self._contract}.{self._function}".strip(".")
        found += [Outcome(self._name, self._line(node), function, kind, text, one) for one in outcomes]
        return first

    def _number(self, number: int, *, yul: bool = False) -> str:
        if self._local is None:
            return str(number)
        return f"add({_USE}, {number})" if yul else f"{_USE} + {number}"

    # Solidity

    def modifier(self, contract: str, node: Node) -> None:
        """Put probes into a modifier, to be numbered where it is used."""
        self._contract, self._function = contract, node["name"]
        self._local = []
        self.visit(node.get("body"))
        if self._local:
            self._modifiers[node["id"]] = self._local
            start, end = _span(node["parameters"])
            if self._data[start:end].startswith(b"("):
                given = ", " if node["parameters"]["parameters"] else ""
                self._at(end - 1, f"{given}uint256 {_USE}")
            else:
                self._at(_span(node, "nameLocation")[1], f"(uint256 {_USE})")
        self._local = None

    def visit(self, node: Any) -> None:
        """Put probes into all that is below a node."""
        if isinstance(node, list):
            for one in node:
                self.visit(one)
        elif isinstance(node, dict):
            special = getattr(self, f"_{node.get('nodeType', '')}", None)
            if special is None:
                self._below(node)
            else:
                special(node)

    def _below(self, node: Node) -> None:
        for inner in node.values():
            if isinstance(inner, (list, dict)):
                self.visit(inner)

    def _ContractDefinition(self, node: Node) -> None:  # noqa: N802 - the compiler's name
        self._contract = node["name"]
        self._below(node)
        self._contract = ""

    def _FunctionDefinition(self, node: Node) -> None:  # noqa: N802
        self._function = node["name"] or node["kind"]
        if node["stateMutability"] == "pure":
            start = _span(node)[0]
            end = _span(node["body"])[0] if node.get("body") else _span(node)[1]
            found = list(re.finditer(rb"\bpure\b", self._data[start:end]))
            if len(found) != 1:
                raise Unsupported(f"{self._name}:{self._line(node)}: `pure` is there {len(found)} times")
            self._data[start + found[0].start() : start + found[0].end()] = b"view"
        self._below(node)
        self._function = ""

    def _ModifierDefinition(self, node: Node) -> None:  # noqa: N802
        """Was done before all else."""

    def _ModifierInvocation(self, node: Node) -> None:  # noqa: N802
        self._below(node)
        templates = self._modifiers.get(node["modifierName"]["referencedDeclaration"])
        if templates is None:
            return
        first, name = len(self._outcomes), node["modifierName"]["name"]
        for one in templates:
            self._add(node, one.kind, f"{name}: {one.text}", one.outcome)
        end = _span(node)[1]
        if self._data[end - 1 : end] == b")":
            self._at(end - 1, f", {first}" if node.get("arguments") else str(first))
        else:
            self._at(end, f"({first})")

    def _VariableDeclaration(self, node: Node) -> None:  # noqa: N802
        # Constants are decided by the compiler.
        if not node.get("constant"):
            self._below(node)

    def _IfStatement(self, node: Node) -> None:  # noqa: N802
        self._decided(node["condition"], "if")
        self.visit(node["trueBody"])
        self.visit(node.get("falseBody"))

    def _Conditional(self, node: Node) -> None:  # noqa: N802
        self._decided(node["condition"], "?:")
        self.visit(node["trueExpression"])
        self.visit(node["falseExpression"])

    def _BinaryOperation(self, node: Node) -> None:  # noqa: N802
        if node["operator"] in ("&&", "||"):
            self._decided(node, "operand")
        else:
            self._below(node)

    def _FunctionCall(self, node: Node) -> None:  # noqa: N802
        called = node["expression"]
        if called["nodeType"] == "Identifier" and called["name"] in ("require", "assert"):
            condition, *rest = node["arguments"]
            self._decided(condition, called["name"])
            self.visit(rest)
        else:
            self._below(node)

    def _DoWhileStatement(self, node: Node) -> None:  # noqa: N802
        self._decided(node["condition"], "loop")
        self.visit(node["body"])

    def _ForStatement(self, node: Node) -> None:  # noqa: N802
        self.visit(node.get("initializationExpression"))
        self.visit(node.get("loopExpression"))
        self._loop(node)

    def _WhileStatement(self, node: Node) -> None:  # noqa: N802
        self._loop(node)

    def _loop(self, node: Node) -> None:
        condition, body = node.get("condition"), node["body"]
        if condition is not None:
            flag, first = self._flag(), self._add(node, "loop", self._text(condition), "entered", "skipped")
            entered, skipped = self._number(first), self._number(first + 1)
            self._around(
                _span(node)[0],
                self._statement_end(node),
                f"{{ bool {flag}; ",
                f" if (!{flag}) __taken({skipped}); }}",
            )
            once = f"{{ if (!{flag}) {{ {flag} = true; __taken({entered}); }} "
            self._around(_span(body)[0], self._statement_end(body), once, " }")
            if _is_compound(_bare(condition)):
                self._decided(condition, "loop")
            else:
                self.visit(condition)
        self.visit(body)

    def _TryStatement(self, node: Node) -> None:  # noqa: N802
        for clause in node["clauses"]:
            said = "returned" if clause is node["clauses"][0] else f"caught {clause['errorName']}".strip()
            first = self._add(node, "try", self._text(node["externalCall"]), said)
            self._at(_span(clause["block"])[0] + 1, f" __taken({self._number(first)}); ")
        self._below(node)

    def _decided(self, node: Node, kind: str) -> None:
        """Watch a condition, each operand of it on its own."""
        bare = _bare(node)
        if _is_compound(bare):
            self._decided(bare["leftExpression"], kind)
            self._decided(bare["rightExpression"], kind)
        else:
            first = self._add(bare, kind, self._text(bare), "true", "false")
            self._around(*_span(bare), f"__branch({self._number(first)}, ", ")")
            self.visit(bare)

    def _flag(self) -> str:
        self._loops += 1
        return f"__entered{self._loops}"

    # Inline assembly

    def _InlineAssembly(self, node: Node) -> None:  # noqa: N802
        before = len(self._put)
        self.visit(node["AST"])
        if len(self._put) > before:
            start = _span(node["AST"])[0]
            if self._data[start : start + 1] != b"{":
                raise Unsupported(f"{self._name}:{self._line(node)}: assembly does not begin where it should")
            self._at(start + 1, _YUL_PROBES)

    def _YulIf(self, node: Node) -> None:  # noqa: N802
        first = self._add(node, "assembly if", self._text(node["condition"]), "true", "false")
        self._around(*_span(node["condition"]), f"__yulBranch({self._number(first, yul=True)}, ", ")")
        self.visit(node["body"])

    def _YulSwitch(self, node: Node) -> None:  # noqa: N802
        text, named = self._text(node["expression"]), False
        for case in node["cases"]:
            named |= case["value"] == "default"
            said = "default" if case["value"] == "default" else f"case {self._text(case['value'])}"
            self._taken_in_yul(self._add(node, "assembly switch", text, said), _span(case["body"])[0] + 1)
        if not named:
            first = self._add(node, "assembly switch", text, "default")
            self._at(_span(node)[1], f" default {{ __yulTaken({self._number(first, yul=True)}) }}")
        self._below(node)

    def _YulForLoop(self, node: Node) -> None:  # noqa: N802
        if node["condition"]["nodeType"] != "YulLiteral":
            flag = self._flag()
            first = self._add(node, "assembly loop", self._text(node["condition"]), "entered", "skipped")
            entered, skipped = self._number(first, yul=True), self._number(first + 1, yul=True)
            self._around(*_span(node), f"{{ let {flag} := 0 ", f" if iszero({flag}) {{ __yulTaken({skipped}) }} }}")
            self._at(_span(node["body"])[0] + 1, f" if iszero({flag}) {{ {flag} := 1 __yulTaken({entered}) }} ")
        self._below(node)

    def _taken_in_yul(self, number: int, place: int) -> None:
        self._at(place, f" __yulTaken({self._number(number, yul=True)}) ")


def _span(node: Node, field: str = "src") -> tuple[int, int]:
    start, length, _ = map(int, node[field].split(":"))
    return start, start + length


def _bare(node: Node) -> Node:
    """Return a condition without parentheses and negations around it."""
    while True:
        if node["nodeType"] == "TupleExpression" and len(node["components"]) == 1:
            node = node["components"][0]
        elif node["nodeType"] == "UnaryOperation" and node["operator"] == "!":
            node = node["subExpression"]
        else:
            return node


def _is_compound(node: Node) -> bool:
    return node["nodeType"] == "BinaryOperation" and node["operator"] in ("&&", "||")
