"""What goes on between a client and a node after a connection was upgraded.

Room kubelet; called by server.py in the connection's own thread. From the bottom up:

    link.py        a TLS connection that one thread reads and writes without blocking
    websocket.py   messages over it (RFC 6455); streams over it are podium/client/spdy.py
    channels.py    stdin, stdout, stderr, error and resize over either of them
    process.py     exec and attach: a process's pipes on those channels
    forward.py     port-forward: connections to a Pod's ports, over either of them
"""
