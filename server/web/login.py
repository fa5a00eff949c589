"""The login page."""

from __future__ import annotations

from urllib.parse import parse_qs

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from server.web.access import COOKIE, TOO_MANY_TEXT, address_of
from server.web.api import state_of
from server.web.pages import render

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

_SESSION_SECONDS = 30 * 24 * 3600


@router.get("/login")
def login(request: Request) -> Response:
    """Ask for the token; without one, go to the first page."""
    if state_of(request).access.token is None:
        return RedirectResponse("/", 303)
    return render(request, "login.html")


@router.post("/login")
async def sign_in(request: Request) -> Response:
    """Set the pages' cookie if the token is right."""
    shown = parse_qs((await request.body()).decode("utf-8", "replace")).get("token", [""])[0]
    state, address = state_of(request), address_of(request.scope)
    access = state.access
    if access.token is not None and (seconds := state.wrong_tokens.wait(address)):
        raise HTTPException(429, TOO_MANY_TEXT, {"Retry-After": str(seconds)})
    if not access.admits_login(shown):
        state.wrong_tokens.add(address)
        return render(request, "login.html", status_code=401, refused=True)
    answer = RedirectResponse("/", 303)
    secure = request.url.scheme == "https"
    answer.set_cookie(COOKIE, access.session, max_age=_SESSION_SECONDS, httponly=True, samesite="strict", secure=secure)
    return answer
