"""The causal trace as it is asked for: the tree of an object's trace, a Pod's start-up budget.

Room of apiserver. What is kept is in cause_log.py and span_log.py; here it is put together:

    tree.py    from changes and spans to one tree; nothing in it is without its parent (pure)
    pods.py    what the tree says of each Pod: its phases, processes, when it was Ready (pure)
    gone.py    finds an object that is no more
    answers.py what is asked over HTTP
"""
