"""The login page, and the API's own page made from its OpenAPI document."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from server.web.access import COOKIE
from server.web.api import state_of
from server.web.pages import templates

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

_SESSION_SECONDS = 30 * 24 * 3600


@router.get("/login")
def login(request: Request) -> Response:
    """Ask for the token, where there is one."""
    if state_of(request).access.token is None:
        return RedirectResponse("/", 303)
    return templates(request, "login.html")


@router.post("/login")
async def sign_in(request: Request) -> Response:
    """Give the pages' cookie to whoever knows the token."""
    shown = parse_qs((await request.body()).decode("utf-8", "replace")).get("token", [""])[0]
    access = state_of(request).access
    if not access.admits_login(shown):
        return templates(request, "login.html", status_code=401, refused=True)
    answer = RedirectResponse("/", 303)
    secure = request.url.scheme == "https"
    answer.set_cookie(COOKIE, access.session, max_age=_SESSION_SECONDS, httponly=True, samesite="strict", secure=secure)
    return answer


@router.get("/docs")
def docs(request: Request) -> HTMLResponse:
    """What the API offers, from its OpenAPI document."""
    document = request.app.openapi()
    schemas = document["components"]["schemas"]
    operations = [
        _operation(path, method, facts, schemas)
        for path, methods in document["paths"].items()
        for method, facts in methods.items()
    ]
    return templates(request, "docs.html", title=document["info"]["title"], operations=operations)


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
    """A JSON schema's type in a few words."""
    choices = [_kind(choice) for choice in schema.get("anyOf", []) if choice.get("type") != "null"]
    if choices:
        return " or ".join(choices)
    if "enum" in schema:
        return " | ".join(str(value) for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    return schema.get("format") or schema.get("type") or "object"
