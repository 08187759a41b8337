"""What a browser sees that is not logged in. Room apiserver/ui; called by page.py and login.py."""

from __future__ import annotations

from flask import Response, render_template

from apiserver.ui.headers import HEADERS
from apiserver.ui.static_files import static_url


def stranger_page(code: int, title: str, reason: str) -> Response:
    """How to get in, with why this browser is not."""
    body = render_template("login.html", title=title, reason=reason, static=static_url())
    return Response(body, code, mimetype="text/html", headers=HEADERS)
