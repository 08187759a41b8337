"""What can go wrong in the images room.

ImageError
├── ImageNotFound       no image of that name on this node: loading it helps
├── InvalidReference    not the name of any image
├── InvalidImage        the file is no image, is damaged, or tries what no image may
└── NoRoomForImage      it would fill the disk: room helps, the same image may be tried again
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
