"""What a browser sees that is not logged in, or is just being. Room apiserver/ui; called by page.py
and login.py."""

from __future__ import annotations

from flask import Response, render_template, request

from apiserver.ui.headers import HEADERS
from apiserver.ui.static_files import static_url


def stranger_page(code: int, title: str, reason: str) -> Response:
    """How to get in, with why this browser is not."""
    body = render_template("login.html", title=title, reason=reason, static=static_url())
    return Response(body, code, mimetype="text/html", headers=HEADERS)


def entering_page(target: str) -> Response:
    """On to `target`. A browser that follows a link of another site (a chat, a terminal in the
    browser) sends no SameSite=Strict cookie along a redirect: it goes on from a page of ours."""
    if request.headers.get("Sec-Fetch-Site") not in ("cross-site", "same-site"):
        return Response(status=303, headers={"Location": target})
    body = render_template("entering.html", target=target)
    return Response(body, mimetype="text/html", headers=HEADERS)
