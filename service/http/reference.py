"""The page at `/docs`: the OpenAPI document of an HTTP face as plain HTML, made by the face itself.

For operator, agent and witness. Nothing is fetched from elsewhere and nothing runs in the browser: the policy that goes
along allows the page's own style and no more.
"""

import base64
import hashlib
import json
from typing import Any

from fastapi import FastAPI
from jinja2 import Environment
from starlette.requests import Request
from starlette.responses import HTMLResponse

JsonObject = dict[str, Any]

_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin: 0; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; border-bottom: 2px solid; }
h3 { font: 600 1rem/1.4 ui-monospace, monospace; margin: 0; overflow-wrap: anywhere; }
section { margin: 0 0 1.2rem; padding: .6rem .8rem; border: 1px solid #8888; border-radius: .3rem; }
b.method { display: inline-block; min-width: 4.2em; }
table { border-collapse: collapse; width: 100%; margin: .4rem 0; }
th, td { text-align: left; vertical-align: top; padding: .15rem .8rem .15rem 0; border-bottom: 1px solid #8884; }
td { overflow-wrap: anywhere; }
caption { text-align: left; font-weight: 600; }
pre { overflow-x: auto; font: 13px/1.4 ui-monospace, monospace; max-height: 24rem; }
nav ul { columns: 20rem; padding: 0; list-style: none; font: 13px/1.6 ui-monospace, monospace; }
"""
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<link rel="icon" href="data:,">
<style>{{ style | safe }}</style>
</head>
<body>
<main>
<h1>{{ title }}</h1>
<p>{{ description }}</p>
<p>Version {{ version }}. The same as a document for programs: <a href="{{ document }}">{{ document }}</a>.</p>
<nav aria-label="Calls"><ul>
{% for call in calls %}<li><a href="#{{ call.id }}">{{ call.method }} {{ call.path }}</a></li>
{% endfor %}</ul></nav>
{% for tag, calls in tags %}<h2>{{ tag }}</h2>
{% for call in calls %}<section id="{{ call.id }}">
<h3><b class="method">{{ call.method }}</b> {{ call.path }}</h3>
<p>{{ call.description }}</p>
{% if call.parameters %}<table><caption>Parameters</caption>
{% for one in call.parameters %}<tr><td><code>{{ one.name }}</code></td><td>{{ one.where }}</td><td>{{ one.type }}</td>\
<td>{{ one.description }}</td></tr>
{% endfor %}</table>
{% endif %}{% for body in call.bodies %}<p>Body: <code>{{ body.media_type }}</code>
{%- if body.schema %}, <a href="#schema-{{ body.schema }}">{{ body.schema }}</a>{% endif %}</p>
{% if body.example %}<details><summary>Example</summary><pre>{{ body.example }}</pre></details>
{% endif %}{% endfor %}<table><caption>Answers</caption>
{% for one in call.answers %}<tr><td>{{ one.status }}</td><td>{{ one.description }}</td><td>{{ one.media_type }}</td>\
<td>{% if one.schema %}<a href="#schema-{{ one.schema }}">{{ one.schema }}</a>{% endif %}</td></tr>
{% endfor %}</table>
</section>
{% endfor %}{% endfor %}<h2>Schemas</h2>
{% for schema in schemas %}<section id="schema-{{ schema.name }}">
<h3>{{ schema.name }}</h3>
<p>{{ schema.description }}</p>
{% if schema.values %}<p>One of {{ schema.values }}.</p>
{% endif %}{% if schema.fields %}<table>
{% for field in schema.fields %}<tr><td><code>{{ field.name }}</code>{% if field.required %} *{% endif %}</td>\
<td>{{ field.type }}</td><td>{{ field.description }}</td><td><code>{{ field.example }}</code></td></tr>
{% endfor %}</table>
{% endif %}</section>
{% endfor %}</main>
</body>
</html>
"""

_template = Environment(autoescape=True, trim_blocks=False).from_string(_PAGE)
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


def install_reference(app: FastAPI) -> None:
    """Serve the page at `/docs`; the application is made with `docs_url=None` and `redoc_url=None`."""
    made: list[str] = []

    async def page(_: Request) -> HTMLResponse:
        if not made:
            made.append(reference(app.openapi(), app.openapi_url or "/openapi.json"))
        headers = {
            "Content-Security-Policy": POLICY,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
        }
        return HTMLResponse(made[0], headers=headers)

    app.add_route("/docs", page, include_in_schema=False)


def reference(api: JsonObject, document: str) -> str:
    """Return an OpenAPI document as a page; `document` is where it is itself."""
    calls = [
        _call(method, path, route)
        for path, methods in api["paths"].items()
        for method, route in methods.items()
        if method != "parameters"
    ]
    tags: dict[str, list[JsonObject]] = {}
    for call in calls:
        tags.setdefault(call["tag"], []).append(call)
    info = api["info"]
    return _template.render(
        title=info["title"],
        description=info.get("description", ""),
        version=info["version"],
        document=document,
        style=_STYLE,
        calls=calls,
        tags=list(tags.items()),
        schemas=[_schema(name, schema) for name, schema in api.get("components", {}).get("schemas", {}).items()],
    )


def _call(method: str, path: str, route: JsonObject) -> JsonObject:
    content = route.get("requestBody", {}).get("content", {})
    return {
        "id": route.get("operationId", f"{method}{path}"),
        "tag": next(iter(route.get("tags", ())), "calls"),
        "method": method.upper(),
        "path": path,
        "description": route.get("description") or route.get("summary", ""),
        "parameters": [
            {
                "name": one["name"],
                "where": one["in"] + (", required" if one.get("required") else ""),
                "type": _type(one.get("schema", {})),
                "description": one.get("description", ""),
            }
            for one in route.get("parameters", ())
        ],
        "bodies": [
            {
                "media_type": media_type,
                "schema": _name(said.get("schema", {})),
                "example": json.dumps(said["example"], indent=2) if "example" in said else "",
            }
            for media_type, said in content.items()
        ],
        "answers": [
            {
                "status": status,
                "description": answer.get("description", ""),
                "media_type": ", ".join(answer.get("content", {})),
                "schema": next((_name(said.get("schema", {})) for said in answer.get("content", {}).values()), ""),
            }
            for status, answer in route.get("responses", {}).items()
        ],
    }


def _schema(name: str, schema: JsonObject) -> JsonObject:
    required = set(schema.get("required", ()))
    return {
        "name": name,
        "description": schema.get("description", ""),
        "values": ", ".join(str(value) for value in schema.get("enum", ())),
        "fields": [
            {
                "name": field,
                "required": field in required,
                "type": _type(said),
                "description": said.get("description", ""),
                "example": ", ".join(json.dumps(example) for example in said.get("examples", ())),
            }
            for field, said in schema.get("properties", {}).items()
        ],
    }


def _name(schema: JsonObject) -> str:
    return str(schema.get("$ref", "")).rpartition("/")[2]


def _type(schema: JsonObject) -> str:
    """Return a type in a few words; nothing is left out that a sender has to know but nested objects."""
    name = _name(schema)
    if name:
        return name
    either = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    if either:
        return " or ".join(_type(one) for one in either)
    if "items" in schema:
        return f"array of {_type(schema['items'])}"
    limits = [f"{word} {schema[word]}" for word in ("minimum", "maximum", "minLength", "maxLength") if word in schema]
    pattern = [schema["pattern"]] if "pattern" in schema else []
    values = [json.dumps(value) for value in schema.get("enum", ())]
    return ", ".join([str(schema.get("type", "any")), *limits, *pattern, *values])
