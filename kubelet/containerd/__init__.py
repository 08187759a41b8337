"""Room kubelet/containerd: the second engine behind `kubelet.runtime.protocol.Runtime`.

It drives containerd through its socket: sandboxes, containers and images by the CRI, exec by
containerd's own task service, for the CRI can neither tell an exec's pid nor kill it. Runs in the
kubelet's threads, knows no Pods and no API server. Needs `grpcio` and `protobuf` (the extra
"containerd"), which nothing else in the house imports.
"""
