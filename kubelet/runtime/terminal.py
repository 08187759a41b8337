"""Carries bytes between a terminal's master end and a socket, both ways. Runs in the shim."""

from __future__ import annotations

import fcntl
import os
import struct
import termios

from kubelet.runtime.event_loop import READABLE, WRITABLE, Callback, EventLoop

_CHUNK_BYTES = 65_536


def set_size(master: int, width: int, height: int) -> None:
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))


class Relay:
    """Owns both descriptors. Ends when the terminal's last user has gone and all was delivered, or
    when the socket's other end was closed (the terminal then hangs up: SIGHUP)."""

    def __init__(self, loop: EventLoop, master: int, channel: int) -> None:
        self.master = master
        self._loop, self._channel = loop, channel
        self._to_channel, self._to_master = b"", b""
        self._master_ended = False
        for fd in (master, channel):
            os.set_blocking(fd, False)
        self._update()

    def resize(self, width: int, height: int) -> None:
        if self.master >= 0:
            set_size(self.master, width, height)

    def close(self) -> None:
        for fd in (self.master, self._channel):
            if fd >= 0:
                self._loop.unwatch(fd)
                os.close(fd)
        self.master = self._channel = -1

    def _on_master(self) -> None:
        try:
            if self._to_master:
                self._to_master = self._to_master[os.write(self.master, self._to_master) :]
            if not self._to_channel:
                self._to_channel = os.read(self.master, _CHUNK_BYTES)
                self._master_ended = not self._to_channel
        except BlockingIOError:
            pass
        except OSError:  # EIO: nobody has the other end open any more
            self._master_ended, self._to_master = True, b""
        self._update()

    def _on_channel(self) -> None:
        try:
            if self._to_channel:
                self._to_channel = self._to_channel[os.write(self._channel, self._to_channel) :]
            if not self._to_master:
                self._to_master = os.read(self._channel, _CHUNK_BYTES)
                if not self._to_master:
                    self.close()
                    return
        except BlockingIOError:
            pass
        except OSError:  # the other end was closed in the middle of it
            self.close()
            return
        self._update()

    def _update(self) -> None:
        """Read from a side only while the other has taken everything."""
        if self._master_ended and not self._to_channel:
            self.close()
            return
        wants_output = not self._to_channel and not self._master_ended
        self._watch(self.master, self._on_master, wants_output, self._to_master)
        self._watch(self._channel, self._on_channel, not self._to_master, self._to_channel)

    def _watch(self, fd: int, callback: Callback, wants_read: bool, pending: bytes) -> None:
        events = (READABLE if wants_read else 0) | (WRITABLE if pending else 0)
        if events:
            self._loop.watch(fd, callback, events)
        else:
            self._loop.unwatch(fd)
