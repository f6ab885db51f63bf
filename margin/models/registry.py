"""The margin models there are, by name. A new one is a folder beside this file and a line in it.

model = parse_model(document)                   # told by the document's field ``name``
rules = model_named("pmrm")                     # for documents that do not say what they are
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

from atomic_margin.documents.errors import MalformedDocument
from atomic_margin.margin.errors import DuplicateModel, UnknownModel
from atomic_margin.margin.models.cross_margin.rules import CrossMarginRules
from atomic_margin.margin.models.expected_shortfall.rules import ExpectedShortfallRules
from atomic_margin.margin.models.interface import MarginModel
from atomic_margin.margin.models.pmrm.published import PublishedPmrmRules
from atomic_margin.margin.models.pmrm.rules import PmrmRules
from atomic_margin.margin.models.pmrm2.published import PublishedPmrm2Rules
from atomic_margin.margin.models.pmrm2.rules import Pmrm2Rules
from atomic_margin.margin.models.scan.rules import ScanRules

AnyModel: TypeAlias = MarginModel[Any, Any, Any, Any]

FORMAT = "atomic-margin/model/1"

_MODELS: dict[str, type[AnyModel]] = {
    rules.NAME: rules
    for rules in (
        ScanRules,
        PmrmRules,
        Pmrm2Rules,
        ExpectedShortfallRules,
        CrossMarginRules,
    )
}

# The same rules over a published universe, where cases have the name.
_PUBLISHED: dict[str, type[AnyModel]] = {rules.NAME: rules for rules in (PublishedPmrmRules, PublishedPmrm2Rules)}


def models() -> dict[str, type[AnyModel]]:
    """Return the rules of every model, by name."""
    return dict(_MODELS)


def model_named(name: str) -> type[AnyModel]:
    """Return the rules of one model.

    Raises:
        UnknownModel: there is none of this name.
    """
    if name not in _MODELS:
        raise UnknownModel(f"there is no margin model {name!r}, only {', '.join(_MODELS)}")
    return _MODELS[name]


def published_model(name: str) -> type[AnyModel]:
    """Return the rules of one model that documents of `parse_model` name: those over a published universe.

    Raises:
        UnknownModel: there are none of this name.
    """
    return _PUBLISHED.get(name) or model_named(name)


def parse_model(document: object, what: str = "the document") -> AnyModel:
    """Return the model of a parsed JSON document that says in ``name`` which model it is of.

    Args:
        document: the parsed JSON.
        what: how an error calls it.

    Raises:
        MalformedDocument: it is of another format, or names no model.
        DocumentError: a field is wrong, named by its JSON path.
    """
    every = {**_MODELS, **_PUBLISHED}
    named = {name: rules for name, rules in every.items() if "name" in rules.DOCUMENT.model_fields}
    given = document if isinstance(document, dict) else {}
    name, form = given.get("name"), given.get("format", FORMAT)
    if form != FORMAT:
        raise MalformedDocument("format", f"{FORMAT} is wanted here, {what} is of another format")
    if not isinstance(name, str) or name not in named:
        raise MalformedDocument("name", f"{what} names none of the models {', '.join(named)}")
    return named[name].parse(document)


@contextmanager
def registered(rules: type[AnyModel]) -> Iterator[None]:
    """Have one more model for as long as the context lasts: for a model that lives outside this package.

    Raises:
        DuplicateModel: the name is taken.
    """
    if rules.NAME in _MODELS:
        raise DuplicateModel(f"a margin model {rules.NAME!r} is registered already; give the new one another name")
    _MODELS[rules.NAME] = rules
    try:
        yield
    finally:
        del _MODELS[rules.NAME]
