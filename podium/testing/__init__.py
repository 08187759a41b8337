"""A cluster as a test fixture: the pytest plugin. docs/testing-with-podium.md shows how to use it.

pytest_plugin.py  the fixtures and hooks; loaded by every pytest here, so it imports nothing
cluster.py        what a test does with its cluster
start.py          starts a guardian and waits for its cluster
guardian.py       a process: owns one cluster, and removes it when its pytest is gone
places.py         ports and networks that no two clusters get
report.py         what is shown when a test fails
"""
