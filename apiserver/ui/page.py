"""The page's routes.

Every address below /ui/ that is none of its files is the same page: its script shows the view that
the address names, so that each view can be shared and opened again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from flask import Blueprint, Flask, Response, render_template, request, send_from_directory

from apiserver.authorization import authorize
from apiserver.errors import ApiError
from apiserver.insight import PREFIX
from apiserver.request_info import parse
from apiserver.ui.feed import Feed
from apiserver.ui.headers import HEADERS
from apiserver.ui.lessons import lesson_list
from apiserver.ui.picture import KINDS
from apiserver.ui.static_files import STATIC, digest, modules_of_first_paint, static_url
from apiserver.ui.stranger import stranger_page
from podium.api.scheme import resource

if TYPE_CHECKING:
    from apiserver.routes import Rooms

NOT_LOGGED_IN = "This browser is not logged in to the cluster, or its session has ended."
FOR_GOOD = "private, max-age=31536000, immutable"


def add_page(app: Flask, rooms: Rooms, version: str) -> None:
    """Add /ui/ and what belongs to it. `version` is shown: "v1.32.0+podium"."""
    ui = Blueprint("ui", __name__, url_prefix="/ui", template_folder="templates")
    feed = Feed(rooms.verbs.store, rooms.verbs.hub)

    @ui.after_request
    def protect(response: Response) -> Response:
        response.headers.update(HEADERS)
        return response

    @ui.get("/static/<wanted>/<path:name>")
    def static(wanted: str, name: str) -> Response:
        response = send_from_directory(STATIC, name)
        is_current = wanted == digest()
        response.headers["Cache-Control"] = FOR_GOOD if is_current else "no-store"
        return response

    @ui.get("/", defaults={"view": ""})
    @ui.get("/<path:view>")
    def page(view: str) -> Response:
        try:
            rooms.authenticator.user(request.environ)
        except ApiError:
            return stranger_page(401, "Log in", NOT_LOGGED_IN)
        body = render_template(
            "page.html", version=version, static=static_url(), modules=modules_of_first_paint()
        )
        return Response(body, mimetype="text/html", headers={"Cache-Control": "no-store"})

    @ui.get("/feed")
    def stream() -> Response:
        user = rooms.authenticator.user(request.environ)
        for kind in KINDS:
            path = resource(kind).path()
            authorize(rooms.verbs.store, parse("GET", path, "watch=true", user, request.environ))
        pieces = feed.stream(request.environ["podium.connection"])
        answer = Response(pieces, mimetype="text/event-stream")
        answer.headers["Cache-Control"] = "no-store"
        return answer

    @ui.get("/session")
    def session() -> dict[str, object]:
        """Who the page speaks for, whether it may change things, how the cluster was started, and
        what else can be asked."""
        user = rooms.authenticator.user(request.environ)
        told = {rule.rule.removeprefix(PREFIX).split("/")[1] for rule in app.url_map.iter_rules()
                if rule.rule.startswith(f"{PREFIX}/")}  # fmt: skip
        return {
            "user": user.name,
            "mayWrite": not user.is_read_only,
            "isLab": rooms.config.is_lab,
            "otlpEndpoint": _without_password(rooms.config.otlp_endpoint),
            "insights": sorted(told),
        }

    @app.get(f"{PREFIX}/lessons")
    def lessons() -> dict[str, object]:
        """The path of lessons, for the page to show how each is begun."""
        rooms.authenticator.user(request.environ)
        return lesson_list()

    app.register_blueprint(ui)


def _without_password(url: str) -> str:
    """http://user:word@host:4318/v1 → http://host:4318/v1"""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
