"""Writes the digests of container images anew, for the tags that are written beside them.

In: the files that name an image as `NAME:TAG@sha256:DIGEST`. Out: the same files, with the digest
that the registry has now. Called by `make lock-images`. Docker's buildx asks the registry and pulls
nothing.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FILES = (
    "docker-compose.yml",
    ".env.example",
    "docker-compose.ingress.yml",
    "deploy/swarm/stack.yml",
    "deploy/gateway.Dockerfile",
    "deploy/ingress.Dockerfile",
    "deploy/worker.Dockerfile",
    "deploy/standins/locust.Dockerfile",
    "deploy/standins/prometheus.Dockerfile",
)

PINNED = re.compile(r"(?P<image>[\w./-]+:[\w.-]+)@(?P<digest>sha256:[0-9a-f]{64})")


def main() -> None:
    """Ask for each image once, and write its digest wherever it is named."""
    texts = {name: (ROOT / name).read_text() for name in FILES}
    images = {found["image"] for text in texts.values() for found in PINNED.finditer(text)}
    digests = {image: digest_of(image) for image in sorted(images)}
    for name, text in texts.items():
        written = PINNED.sub(lambda found: f"{found['image']}@{digests[found['image']]}", text)
        (ROOT / name).write_text(written)


def digest_of(image: str) -> str:
    """Ask the registry for the digest of an image's index, which covers every processor."""
    command = ["docker", "buildx", "imagetools", "inspect", image]
    command += ["--format", "{{.Manifest.Digest}}"]
    try:
        digest = subprocess.check_output(command, text=True).strip()
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"the digest of {image} was not found: {error}")
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
        sys.exit(f"the registry gave no digest of {image}, but {digest!r}")
    print(f"{image}@{digest}", flush=True)
    return digest


if __name__ == "__main__":
    main()
