"""Room controllers: one loop per kind, each an ordinary client of the API server.

They run in one process (`python -m controllers --data-dir D`), which `manager.py` puts together.
They import `podium.api` and `podium.client`, and not each other; what two of them need stands in a
file of its own (`ownership.py`, `expectations.py`). `…_plan.py` decides and does no I/O.
"""
