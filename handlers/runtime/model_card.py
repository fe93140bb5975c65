"""Makes the model card, and the digest that names a model's answers; called by `Pipeline.load`."""

import hashlib
import json
from importlib.metadata import version
from pathlib import Path

import handlers
from handlers.model_config import MODEL_FILE, ModelConfig
from handlers.runtime.device import Device, from_environment
from handlers.shared.cost import CostRates
from handlers.shared.model_card import WorkerModelCard

# the libraries that pixels and scores go through, apart from torch
CODECS = ("isal", "numpy", "pillow", "simplejpeg")
DIGEST_CHARACTERS = 16


def model_card(
    config: ModelConfig, folder: Path, device: Device, costs: CostRates
) -> WorkerModelCard:
    """Describe a loaded model: what a client needs to read its masks, its digest, and how fast it
    is.
    """
    return WorkerModelCard(
        name=config.name,
        version=config.version,
        architecture=config.architecture,
        digest=model_digest(config, folder, device),
        classes=config.classes,
        background_id=config.background_id,
        palette=config.palette,
        working_max_side=config.working_max_side,
        max_side_limit=config.max_side_limit,
        batch_size=config.batching.batch_size.on(device.kind),
        response_timeout_s=config.batching.response_timeout_s,
        workers=max(1, from_environment("FCNSERVE_WORKERS")),
        device=device.kind,
        precision=device.precision,
        numerics=device.numerics(),
        costs=costs,
    )


def model_digest(config: ModelConfig, folder: Path, device: Device) -> str:
    """Hash all that an answer's bytes depend on: same image, options and digest, same bytes."""
    parts = {
        "model.yaml": file_digest(folder / MODEL_FILE),
        "weights": file_digest(folder / config.weights),
        "numerics": device.numerics(),
        "codecs": {name: version(name) for name in CODECS},
        "code": code_digest(),
    }
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode())
    return digest.hexdigest()[:DIGEST_CHARACTERS]


def code_digest() -> str:
    """Hash the sources of `handlers`, as the archive holds them."""
    package = Path(handlers.__file__).parent
    digest = hashlib.sha256()
    for source in sorted(package.rglob("*.py")):
        digest.update(str(source.relative_to(package)).encode() + source.read_bytes())
    return digest.hexdigest()


def file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
