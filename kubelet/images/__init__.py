"""The images of one node: loaded from files, kept by content, unpacked once.

Room kubelet/images; called by the kubelet from any thread. Knows nothing of Pods or of the API.
"""

from kubelet.images.reference import InvalidReference, normalise
from kubelet.images.store import Image, ImageConfig, ImageNotFound, ImageStore
from kubelet.images.unpack import InvalidImage

__all__ = [
    "Image",
    "ImageConfig",
    "ImageNotFound",
    "ImageStore",
    "InvalidImage",
    "InvalidReference",
    "normalise",
]
