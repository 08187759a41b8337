"""Room controllers/scheduler: which node a Pod goes to. Runs in the controllers' process.

    scheduler.py   the controller: hears of Pods and nodes, decides, has the decision written
    pod_info.py    a Pod as the scheduler sees it, parsed once
    node_info.py   a node with what is taken of it
    cluster.py     all nodes, with the Pods on them and those assumed to be
    queue.py       the Pods that wait, and in which order
    filters.py     on which nodes a Pod can run, and why not on the others
    scores.py      which of those is best
    preemption.py  which Pods of lower priority would have to go
    reasons.py     why this node and not the others, kept on the Pod
    counterfactual.py  what would have to be otherwise for a Pod to fit a node
    figures.py     500 millicores are "500m"
    verdict.py     "0/3 nodes are available: …", in Kubernetes' words
    binding.py     writes the decisions: a Binding, or a condition that says why not

All but scheduler.py and binding.py are pure: no clock, no thread, no request.
"""

from controllers.scheduler.scheduler import Scheduler

__all__ = ["Scheduler"]
