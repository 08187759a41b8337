"""How the status page is entered: POST /ui/login-links, GET /ui/login. Room apiserver.

Registered by routes.py. Only who may do everything can ask for a link; a link works once.
"""

from __future__ import annotations

import orjson
from flask import Flask, Response, request

from apiserver.authentication import Authenticator
from apiserver.authorization import MASTERS
from apiserver.errors import ApiError
from apiserver.sessions import COOKIE, SESSION_LIFETIME_S
from apiserver.ui.stranger import entering_page, stranger_page
from podium.api import status

USED = "It has been used already, or it is too old."


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
        session = authenticator.sessions.redeem(request.args.get("token", ""))
        if session is None:
            return stranger_page(403, "This link does not work", USED)
        # What stands behind # is seen by the page alone; it takes the key out of the address.
        answer = entering_page(f"/ui/#key={session.write_key}")
        answer.set_cookie(
            COOKIE,
            session.cookie,
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
