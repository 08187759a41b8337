"""Registries: where they are (hosts.py), who may (credentials.py, challenge.py), and how they are
asked (transport.py, client.py).

Room kubelet/images; standard library only. Sources: OCI distribution specification; distribution
`docs/spec/api.md` and `auth/token.md`.
"""
