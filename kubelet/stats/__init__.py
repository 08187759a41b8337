"""What Pods and their node use: read from the kernel when somebody asks, shown in four ways.

Room kubelet; called by server.py. Nothing is read while nobody asks.

    sampler.py     one look at everything → Snapshot      cpu_rates.py   counters → CPUs in use
    host.py        the node's own figures                 disk_usage.py  what directories hold
    summary.py     /stats/summary (kubelet's stats/v1alpha1), from which `kubectl top` is made
    metrics.py     /metrics/resource and /metrics/cadvisor
"""
