"""What the OpenAPI document of an HTTP face says beyond the routes: problems, names in paths, methods of a path.

For the faces of operator, agent and witness.
"""

from functools import partial
from typing import Any

from fastapi import FastAPI

from atomic_margin.service.http.problems import MEDIA_TYPE, Problem

JsonObject = dict[str, Any]

PATH_PATTERNS = {
    "institution": "^[A-Za-z0-9_-]{1,32}$",
    "deal": "^[0-9a-f]{64}$",
    "request": "^[0-9a-f]{64}$",
    "resharing": "^[0-9a-f]{64}$",
    "run_id": "^[A-Za-z0-9._-]{1,64}$",
    "function": "^[a-z_]{1,32}$",
    "name": "^[A-Za-z0-9._-]{1,64}$",
    "path": "^[a-z0-9./]{1,64}$",
}
"""Names that are looked up: what is not there is a 404, whatever it looks like. Odd bytes are refused by the gate."""

_PROBLEM = {"content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}

_VALUE = {
    "description": "JSON without numbers: they are decimal strings in every document.",
    "anyOf": [
        {"type": "string"},
        {"type": "boolean"},
        {"type": "null"},
        {"type": "array", "items": {"$ref": "#/components/schemas/Value"}},
        {"type": "object", "additionalProperties": {"$ref": "#/components/schemas/Value"}},
    ],
}


def install_contract(app: FastAPI) -> None:
    """Have the application's OpenAPI document say it all."""
    made = partial(_made, app, app.openapi)
    app.openapi = made  # type: ignore[method-assign]


def _made(app: FastAPI, usual: Any) -> JsonObject:
    if app.openapi_schema is None:
        api = usual()
        schemas = api.setdefault("components", {}).setdefault("schemas", {})
        schemas["Problem"] = Problem.model_json_schema()
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        schemas["Value"] = _VALUE
        for methods in api["paths"].values():
            for route in methods.values():
                _complete(route)
        _without_numbers(api)
        app.openapi_schema = api
    return app.openapi_schema


def _complete(route: JsonObject) -> None:
    answers = route["responses"]
    # What the framework says of its own validation errors is not what is answered here.
    answers.pop("422", None)
    for status, said in (
        ("4XX", "what is wrong and what to do"),
        ("5XX", "nothing was carried out, or it cannot be said; ask again"),
    ):
        answers[status] = {"description": said, **_PROBLEM}
    for one in route.get("parameters", ()):
        if one["in"] == "path" and one["schema"].get("type") == "string" and "pattern" not in one["schema"]:
            one["schema"]["pattern"] = PATH_PATTERNS[one["name"]]


def _without_numbers(part: Any) -> None:
    """Say of every object that may hold anything that it holds no numbers."""
    if isinstance(part, list):
        for one in part:
            _without_numbers(one)
    elif isinstance(part, dict):
        if part.get("additionalProperties") is True:
            part["additionalProperties"] = {"$ref": "#/components/schemas/Value"}
        for name, one in part.items():
            if name not in ("example", "examples", "const", "enum"):
                _without_numbers(one)
