"""What can go wrong in the images room.

ImageError
├── ImageNotFound       no image of that name on this node: loading it helps
├── InvalidReference    not the name of any image
├── InvalidImage        it is no image, is damaged, or tries what no image may
├── NoRoomForImage      it would fill the disk: room helps, the same image may be tried again
└── PullFailed          the registry does not give it; a later try may be luckier
    ├── NotInRegistry        it has no such repository, tag or blob
    ├── NotAuthorized        not to us, with these credentials
    └── RegistryUnavailable  it cannot be reached, or is too busy
"""

from __future__ import annotations


class ImageError(Exception):
    """Nothing was kept of what failed; the message says what it was about."""


class ImageNotFound(ImageError):
    """No image of that name on this node."""


class InvalidReference(ImageError):
    """Not an image reference; the message is Kubernetes' own."""


class InvalidImage(ImageError):
    """The file is no image, is damaged, or tries what no image may; the message says which."""


class NoRoomForImage(ImageError):
    """Unpacking it would leave too little room on the disk."""


class PullFailed(ImageError):
    """A registry has refused, or answered what makes no sense."""


class NotInRegistry(PullFailed):
    """404: no such repository, tag or blob."""


class NotAuthorized(PullFailed):
    """401 or 403 with the credentials that we have."""


class RegistryUnavailable(PullFailed):
    """No connection, no answer in time, or 429 and 5xx until we gave up."""
