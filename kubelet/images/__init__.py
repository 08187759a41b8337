"""The images of one node: pulled from registries or loaded from files, kept by content, unpacked
once.

Room kubelet/images; called by the kubelet from any thread. Knows nothing of Pods or of the API.
"""

from kubelet.images.config import ImageConfig
from kubelet.images.errors import (
    ImageError,
    ImageNotFound,
    InvalidImage,
    InvalidReference,
    NoRoomForImage,
    PullFailed,
    RegistryUnavailable,
)
from kubelet.images.limits import Limits
from kubelet.images.reference import normalise
from kubelet.images.store import Image, ImageStore

__all__ = [
    "Image",
    "ImageConfig",
    "ImageError",
    "ImageNotFound",
    "ImageStore",
    "InvalidImage",
    "InvalidReference",
    "Limits",
    "NoRoomForImage",
    "PullFailed",
    "RegistryUnavailable",
    "normalise",
]
