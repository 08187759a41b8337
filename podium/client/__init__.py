"""Room podium/client: how things are said to the API server.

Every process but the API server imports it: controllers, kubelet, the `podium` command. It may use
`podium.api`, and touches neither SQL nor Flask nor the kernel.

    config.py          a kubeconfig
    connection.py      one kept-alive HTTP/1.1 connection
    http.py            the verbs: get, list, create, update, patch, delete, watch
    errors.py          what can go wrong, as a tree
    informer.py        a cache that follows one kind by LIST and WATCH
    workqueue.py       keys waiting to be reconciled
    reconcile_loop.py  takes keys from the queue and calls `reconcile(key)`
    lease.py           who leads
    event_recorder.py  what `kubectl describe` shows under Events
    clock.py           time, so that tests can step it
    backoff.py         how long to wait before asking again
"""
