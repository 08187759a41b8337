"""Sandboxes and containers, made with nothing but system calls.

This room has never heard of Pods or of HTTP and imports the standard library only, because
its code runs in the launcher, in every shim and in every container child.
"""
