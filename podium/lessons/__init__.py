"""Room podium/lessons: a path from a process to a cluster, whose lessons check themselves.

Used by `podium lesson`. The texts are docs/lessons/*.md, the order is docs/lessons/index.toml. It
may import podium.api and podium.client, and reads the kernel (/proc, cgroupfs) of the machine it
runs on; it changes nothing there.

    path.py        which lessons there are, and their texts
    terminal.py    a text for a terminal of 80 columns
    world.py       what a check sees: the API, and the kernel behind it
    kernel.py      a process as /proc and the cgroup file systems show it
    record.py      predictions and what was passed, kept in the cluster
    checking.py    runs a lesson's checks
    checks/        one file a lesson
"""
