"""TorchServe's `config.properties`: settings in, the text of the file out.

One inference port; every other port is closed or on loopback. Called by
`service.worker.torchserve`.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from zipfile import ZipFile

from model_store.tools.archive.read import packed_config
from service.ports import free_ports
from service.settings import Settings

ASCII_CODES = 128


def configuration_of(
    settings: Settings, models: Mapping[str, object], workers: int, gpus: int
) -> dict[str, object]:
    """Return the properties; `models` has those of each model, `workers` their number a model,
    which TorchServe spreads over the `gpus`.
    """
    host = settings.worker_host
    management, metrics, grpc_inference, grpc_management = free_ports(4)
    return {
        "inference_address": f"http://{host}:{settings.worker_port}",
        "management_address": f"http://127.0.0.1:{management}",
        "metrics_address": f"http://{host}:{settings.worker_metrics_port or metrics}",
        "grpc_inference_port": grpc_inference,
        "grpc_management_port": grpc_management,
        "model_store": settings.model_store.absolute(),
        "load_models": ",".join(f"{name}.mar" for name in models),
        "models": json.dumps(models),
        "default_workers_per_model": workers,
        "number_of_gpu": gpus,
        "job_queue_size": settings.job_queue_size,
        "max_request_size": settings.max_body_bytes,
        "max_response_size": settings.max_answer_bytes,
        "allowed_urls": "file://none",
        "enable_envvars_config": "false",
        "disable_token_authorization": "true",
        "disable_system_metrics": "true",
        "metrics_mode": "prometheus",
    }


def batch_sizes(store: Path, models: Sequence[str], gpus: int) -> dict[str, object]:
    """Return each model's batch size on this machine, as TorchServe has it: by name and version."""
    kind = "cuda" if gpus else "cpu"
    sizes: dict[str, object] = {}
    for name in models:
        with ZipFile(store / f"{name}.mar") as packed:
            config = packed_config(packed)
        sizes[name] = {config.version: {"batchSize": config.batching.batch_size.on(kind)}}
    return sizes


def properties_text(properties: Mapping[str, object]) -> str:
    """Write Java's format, whose values are Latin-1 with backslash escapes."""
    return "".join(f"{name}={escaped(str(value))}\n" for name, value in properties.items())


def escaped(value: str) -> str:
    units = value.replace("\\", "\\\\").encode("utf-16-be")
    codes = (int.from_bytes(units[at : at + 2], "big") for at in range(0, len(units), 2))
    return "".join(chr(code) if code < ASCII_CODES else f"\\u{code:04x}" for code in codes)
