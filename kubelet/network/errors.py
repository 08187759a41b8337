"""What can go wrong in the network room.

NetworkError
├── SubnetClash      the subnet is somebody else's: another subnet helps, a retry does not
└── NoAddressLeft    every address is taken: a retry helps once a Pod has gone
"""

from __future__ import annotations


class NetworkError(Exception):
    """The network cannot be set up; the message names the object and says what is in the way."""


class SubnetClash(NetworkError):
    """This machine already routes (a part of) the subnet elsewhere."""


class NoAddressLeft(NetworkError):
    """Every address of the subnet belongs to somebody."""
