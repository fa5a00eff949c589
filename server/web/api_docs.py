"""The API reference page, made from the OpenAPI document."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from server.web.pages import render

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


@router.get("/docs")
def docs(request: Request) -> HTMLResponse:
    """List the operations of the API with their parameters and responses."""
    document = request.app.openapi()
    schemas = document["components"]["schemas"]
    operations = [
        _operation(path, method, facts, schemas)
        for path, methods in document["paths"].items()
        for method, facts in methods.items()
    ]
    return render(request, "docs.html", title=document["info"]["title"], operations=operations)


def _operation(path: str, method: str, facts: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    body = facts.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    fields = _fields(schemas.get(body.get("$ref", "").rpartition("/")[2], {}))
    parameters = [
        {
            "name": parameter["name"],
            "place": parameter["in"],
            "required": parameter.get("required", False),
            "kind": _kind(parameter["schema"]),
        }
        for parameter in facts.get("parameters", [])
    ]
    return {
        "method": method.upper(),
        "path": path,
        "summary": facts.get("description", ""),
        "parameters": [*parameters, *fields],
        "answers": [(status, answer["description"]) for status, answer in sorted(facts["responses"].items())],
    }


def _fields(schema: dict[str, Any]) -> list[dict[str, Any]]:
    required = schema.get("required", [])
    return [
        {"name": name, "place": "body", "required": name in required, "kind": _kind(facts)}
        for name, facts in schema.get("properties", {}).items()
    ]


def _kind(schema: dict[str, Any]) -> str:
    """Describe the type of a JSON schema in a few words."""
    choices = [_kind(choice) for choice in schema.get("anyOf", []) if choice.get("type") != "null"]
    if choices:
        return " or ".join(choices)
    if "enum" in schema:
        return " | ".join(str(value) for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    return schema.get("format") or schema.get("type") or "object"
