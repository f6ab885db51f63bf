"""What a mutant is: one node of the syntax tree of one function, and what takes its place. For `mutants.py`.

`place` names a function as `module:Class.method`, or a module alone. Within it `Node` finds the one node: what a
condition mentions, what a call calls, what an assignment assigns to.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


class NotFound(Exception):
    """No such function or node, or several."""


@dataclass(frozen=True)
class Node:
    """Finds one expression in a function.

    Attributes:
        kind: `condition` of an if, `call` of a function or method, `value` of an assignment or of a dictionary's entry,
            or what is `returned`.
        named: what is called or assigned to, or the entry's key.
        mentions: names, attributes and literal texts that occur in it too, where several would be found without.
    """

    kind: str
    named: str = ""
    mentions: tuple[str, ...] = ()

    def find(self, function: ast.AST) -> ast.expr:
        """Return the expression.

        Raises:
            NotFound: there is none, or there are several.
        """
        found = [node for node in self._candidates(function) if set(self.mentions) <= set(_words(node))]
        if len(found) != 1:
            raise NotFound(f"there are {len(found)} nodes like {self}")
        return found[0]

    def _candidates(self, function: ast.AST) -> Iterator[ast.expr]:
        for node in ast.walk(function):
            if self.kind == "condition" and isinstance(node, ast.If):
                yield node.test
            elif self.kind == "returned" and isinstance(node, ast.Return) and node.value is not None:
                yield node.value
            elif self.kind == "call" and isinstance(node, ast.Call) and ast.unparse(node.func).endswith(self.named):
                yield node
            elif self.kind == "value" and isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                parts = [part for one in targets for part in (one.elts if isinstance(one, ast.Tuple) else [one])]
                if self.named in map(ast.unparse, parts) and node.value is not None:
                    yield node.value
            elif self.kind == "value" and isinstance(node, ast.Dict):
                for key, value in zip(node.keys, node.values, strict=True):
                    if isinstance(key, ast.Constant) and key.value == self.named:
                        yield value


def _words(node: ast.AST) -> Iterator[str]:
    for inner in ast.walk(node):
        if isinstance(inner, ast.Name):
            yield inner.id
        elif isinstance(inner, ast.Attribute):
            yield inner.attr
        elif isinstance(inner, ast.Constant):
            yield str(inner.value)


def condition(*mentions: str) -> Node:
    """The condition of an if that mentions these."""
    return Node("condition", mentions=mentions)


def call(named: str, *mentions: str) -> Node:
    """A call of a function or method whose name ends so."""
    return Node("call", named, mentions)


def value(named: str, *mentions: str) -> Node:
    """What is assigned to a target, or stands under a key."""
    return Node("value", named, mentions)


RETURNED = Node("returned")


@dataclass(frozen=True)
class Mutant:
    """One check, disabled.

    Attributes:
        name: the check.
        place: module and function.
        node: what is replaced.
        new: what takes its place.
        tests: the tests that are to notice, as pytest takes them.
    """

    name: str
    place: str
    node: Node
    new: str
    tests: tuple[str, ...]

    def file(self, tree: Path) -> Path:
        """Return the file of the place."""
        return tree / (self.place.partition(":")[0].replace(".", "/") + ".py")

    def apply(self, text: str) -> str:
        """Return the mutated text of the file.

        Raises:
            NotFound: no such function or node.
        """
        scope: ast.AST = ast.parse(text)
        for name in filter(None, self.place.partition(":")[2].split(".")):
            inside = [
                node
                for node in ast.walk(scope)
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
                and node.name == name
                and node is not scope
            ]
            if len(inside) != 1:
                raise NotFound(f"{self.place} is not there: {len(inside)} are called {name}")
            (scope,) = inside
        node = self.node.find(scope)
        # Columns count bytes.
        lines = text.encode().splitlines(keepends=True)
        first, last = node.lineno - 1, (node.end_lineno or 0) - 1
        start = sum(map(len, lines[:first])) + node.col_offset
        end = sum(map(len, lines[:last])) + (node.end_col_offset or 0)
        whole = b"".join(lines)
        mutated = (whole[:start] + self.new.encode() + whole[end:]).decode()
        if ast.dump(ast.parse(mutated)) == ast.dump(ast.parse(text)):
            raise NotFound(f"{self.node} is {self.new!r} already")
        return mutated
