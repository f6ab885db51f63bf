"""Which methods a path has, by the OpenAPI document: for the `Allow` header of a 405. For `problems` alone.

>>> allowed({"/v1/ticks/{sequence}": {"get": {}}, "/v1/ticks/void": {"post": {}}}, "/v1/ticks/void")
'POST'
>>> allowed({"/v1/runs/{run_id}": {"get": {}}, "/v1/runs/all": {"post": {}}}, "/v1/runs/all")
'GET, POST'
"""

import re
from collections.abc import Mapping
from typing import Any


def allowed(paths: Mapping[str, Mapping[str, Any]], path: str) -> str:
    """Return the methods of every route that a path matches, for the `Allow` header."""
    found = {
        method.upper()
        for template, methods in paths.items()
        if re.fullmatch(re.sub(r"\\\{([^}]*)\\\}", _placeholder, re.escape(template)), path)
        for method in methods
        if method != "parameters"
    }
    return ", ".join(sorted(found))


def _placeholder(name: re.Match[str]) -> str:
    # As the routes have them: whole paths, and numbers.
    return {"path": ".+", "sequence": "[0-9]+"}.get(name[1], "[^/]+")
