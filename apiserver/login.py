"""How the status page is entered: POST /ui/login-links, GET /ui/login. Room apiserver.

Registered by routes.py. Only who may do everything can ask for a link; a link works once.
"""

from __future__ import annotations

import orjson
from flask import Flask, Response, render_template, request

from apiserver.authentication import Authenticator
from apiserver.authorization import MASTERS
from apiserver.errors import ApiError
from apiserver.sessions import COOKIE, SESSION_LIFETIME_S
from podium.api import status


def add_login(app: Flask, authenticator: Authenticator) -> None:
    """Add the two routes."""

    def new_link() -> Response:
        user = authenticator.user(request.environ)
        if MASTERS not in user.groups or user.is_read_only:
            raise ApiError(
                status.forbidden(None, "", f'User "{user.name}" cannot post path "/ui/login-links"')
            )
        url = f"https://{request.host}/ui/login?token={authenticator.sessions.new_link_token()}"
        return Response(orjson.dumps({"url": url}), 201, mimetype="application/json")

    def login() -> Response:
        cookie = authenticator.sessions.redeem(request.args.get("token", ""))
        if cookie is None:
            return Response(_stranger_page(), 403, mimetype="text/html")
        answer = Response(status=303, headers={"Location": "/ui/"})
        answer.set_cookie(
            COOKIE,
            cookie,
            max_age=SESSION_LIFETIME_S,
            path="/",
            secure=True,
            httponly=True,
            samesite="Strict",
        )
        answer.headers["Cache-Control"] = "no-store"
        return answer

    app.add_url_rule("/ui/login-links", "new_login_link", new_link, methods=["POST"])
    app.add_url_rule("/ui/login", "login", login, methods=["GET"])


def _stranger_page() -> str:
    return render_template(
        "login.html",
        title="This link does not work",
        reason="It has been used already, or it is too old.",
    )
