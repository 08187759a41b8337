"""Time travel: the cluster as it was, and what has changed since. Part of the API server.

    past_reads.py  ?atRevision= on every GET and LIST        moments.py     which revision is meant
    differences.py /podium/v1/diff                           timeline.py    /podium/v1/timeline
    history.py     /podium/v1/history/<resource>/<ns>/<name> picture.py     /podium/v1/cluster
    change_log.py  what all of them ask the log              routes.py      their URLs

Who may read an object now may read its past, a node excepted: what it may see depends on the Pods
that it has at the moment. docs/see-inside/time-travel.md shows every answer.
"""
