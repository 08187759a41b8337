"""The status page: one HTML page, its script, and one stream of server-sent events that keeps it
live.

Room apiserver/ui; registered by routes.py. It reads through the watch verb, like everyone else, so
it shows nothing that the API does not. Who has no session sees how to get one.
"""

from apiserver.ui.page import add_page

__all__ = ["add_page"]
