"""TorchServe's `config.properties`: settings in, the text of the file out.

One inference port, or socket; every other port is closed or on loopback. Called by
`service.worker.torchserve`.
"""

from collections.abc import Mapping, Sequence

from handlers.shared.wire import MOST_JOINT_BYTES
from service.ports import free_ports
from service.settings import Settings

# of Java towards the gateway, and as many towards the workers. Its default is two a processor, all
# of which wake in turn; a thread carries some thousands of requests a second
EVENT_LOOP_THREADS = 2
ASCII_CODES = 128
OPTIONS_BYTES = 1_000_000  # of the largest batch, and more


def configuration_of(
    settings: Settings, models: Sequence[str], workers: int, gpus: int
) -> dict[str, object]:
    """Return the properties for these models, each with so many workers, which TorchServe spreads
    over the `gpus`.

    Each request is a batch, as the gateways make them: TorchServe merges none.
    """
    host = settings.worker_host
    management, metrics, grpc_inference, grpc_management = free_ports(4)
    return {
        "inference_address": (
            f"unix:{settings.worker_socket}"
            if settings.worker_socket
            else f"http://{host}:{settings.worker_port}"
        ),
        "management_address": f"http://127.0.0.1:{management}",
        "metrics_address": f"http://{host}:{settings.worker_metrics_port or metrics}",
        "grpc_inference_port": grpc_inference,
        "grpc_management_port": grpc_management,
        "model_store": settings.model_store.absolute(),
        "load_models": ",".join(f"{name}.mar" for name in models),
        "default_workers_per_model": workers,
        "number_of_gpu": gpus,
        "number_of_netty_threads": EVENT_LOOP_THREADS,
        "netty_client_threads": EVENT_LOOP_THREADS,
        "job_queue_size": settings.job_queue_size,
        "max_request_size": max(settings.max_body_bytes, MOST_JOINT_BYTES) + OPTIONS_BYTES,
        "max_response_size": settings.max_answer_bytes,
        "allowed_urls": "file://none",
        "enable_envvars_config": "false",
        "disable_token_authorization": "true",
        "disable_system_metrics": "true",
        "metrics_mode": "prometheus",
    }


def properties_text(properties: Mapping[str, object]) -> str:
    """Write Java's format, whose values are Latin-1 with backslash escapes."""
    return "".join(f"{name}={escaped(str(value))}\n" for name, value in properties.items())


def escaped(value: str) -> str:
    units = value.replace("\\", "\\\\").encode("utf-16-be")
    codes = (int.from_bytes(units[at : at + 2], "big") for at in range(0, len(units), 2))
    return "".join(chr(code) if code < ASCII_CODES else f"\\u{code:04x}" for code in codes)
