"""Kubelets without a kernel: nodes and Pods that only say what real ones would say.

Room kubelet; a process of its own (`podium up --fake-nodes N`), which needs no root. What a Pod
does next and what its status shows is decided by the real kubelet's pod_plan.py and pod_status.py;
only what they look at, the containers, is made up.

node.py        one node: registered, kept alive by its Lease, with an informer of its Pods
pods.py        the Pods of a node, reconciled
containers.py  containers that begin and end because a clock says so
wishes.py      what a Pod's annotations say of how it should go
"""
