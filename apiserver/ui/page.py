"""The page's routes, with the headers that keep it to itself (strict CSP, no framing)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Blueprint, Flask, Response, render_template, request

from apiserver.errors import ApiError
from apiserver.ui.stream import events

if TYPE_CHECKING:
    from apiserver.routes import Rooms

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
NOT_LOGGED_IN = "This browser is not logged in to the cluster, or its session has ended."
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def add_page(app: Flask, rooms: Rooms, version: str) -> None:
    """Add /ui/ and what belongs to it. `version` is shown: "v1.32.0+podium"."""
    ui = Blueprint(
        "ui",
        __name__,
        url_prefix="/ui",
        static_folder="static",
        static_url_path="/static",
        template_folder="templates",
    )

    @ui.after_request
    def protect(response: Response) -> Response:
        response.headers.update(HEADERS)
        return response

    @ui.get("/")
    def page() -> Response:
        try:
            rooms.authenticator.user(request.environ)
        except ApiError:
            stranger = render_template("login.html", title="Log in", reason=NOT_LOGGED_IN)
            return Response(stranger, 401, mimetype="text/html")
        return Response(render_template("page.html", version=version), mimetype="text/html",
                        headers={"Cache-Control": "no-store"})  # fmt: skip

    @ui.get("/stream")
    def stream() -> Response:
        user = rooms.authenticator.user(request.environ)
        answer = Response(events(rooms.verbs, user, request.environ), mimetype="text/event-stream")
        answer.headers["Cache-Control"] = "no-store"
        return answer

    app.register_blueprint(ui)
