"""The page: what the API knows, live, for people who look rather than read.

Room apiserver/ui; registered by routes.py. `page.py` has its addresses, `feed.py` the one stream
behind the cluster picture, `static/` its scripts and styles in rooms of their own. Lists and pages
of objects read through the API's own verbs, like everyone else, so it shows nothing that the API
does not. Who has no session sees how to get one.
"""

from apiserver.ui.page import add_page

__all__ = ["add_page"]
