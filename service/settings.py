"""All settings of gateway and worker, read from the environment once, at start."""

import os
import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from handlers.shared.photo import DEFAULT_FORMATS, OPTIONAL_FORMATS
from handlers.shared.wire import MOST_JOINT_PIXELS
from service.inference_address import checked_socket_path, parse_addresses
from service.origins import as_browsers_write
from service.proxies import checked_prefix, checked_proxy
from service.setting_names import wrong_names

ROOT = Path(__file__).parent.parent
# as in handlers/model_config.py
MODEL_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
PIN = rf"(?:{MODEL_NAME}@)?[0-9a-f]{{16}}"

JAVA_MAX_INT = 2**31 - 1
MAX_PROCESSES = 64

Port = Annotated[int, Field(ge=0, le=65535)]
Names = Annotated[tuple[str, ...], NoDecode]


class Settings(BaseSettings):
    """Each field is an environment variable, `FCNSERVE_` before its name in capitals."""

    model_config = SettingsConfigDict(env_prefix="FCNSERVE_", frozen=True, extra="ignore")

    host: str = Field("127.0.0.1", description="address the gateway listens on")
    port: Port = Field(8000, description="port the gateway listens on")
    gateway_processes: int | Literal["auto"] = Field(
        "auto", description="gateway processes, up to 64; auto: as many as the machine can feed"
    )
    models: Names = Field(
        ("fcn8s-lite2",),
        description="names of the models served, separated by commas; the first is the default",
    )
    torchserve_url: str = Field(
        "http://127.0.0.1:8080",
        description="where the gateway finds TorchServe's inference API: `http://host:port`, or "
        "`unix:/path` for a socket; several are separated by commas, and a name may have several "
        "addresses",
    )
    pin_model: Names = Field(
        (),
        description="digests that images are kept to, separated by commas: `digest`, or "
        "`name@digest` with several models; empty: any",
    )
    formats: Annotated[frozenset[str], NoDecode] = Field(
        DEFAULT_FORMATS, description="image formats read; `tiff`, `gif` and `avif` may be added"
    )
    max_body_bytes: int = Field(
        20_000_000, ge=1_000, le=1_000_000_000, description="largest request body, in bytes"
    )
    max_batch_body_bytes: int = Field(
        100_000_000,
        ge=1_000,
        le=4_000_000_000,
        description="largest body of a batch request, in bytes; each of its images is limited by "
        "`max_body_bytes`",
    )
    max_pixels: int = Field(
        32_000_000, ge=1, le=1_000_000_000, description="largest image, in pixels"
    )
    max_image_seconds: float = Field(
        0.0,
        ge=0,
        allow_inf_nan=False,
        description="predicted CPU seconds that an image may take; beyond it 413"
        "; 0: 5, or ten usual photos of the model; a third of its `response_timeout_s` at most",
    )
    max_in_flight: int = Field(
        64, ge=1, le=100_000, description="requests accepted at a time; beyond it 429"
    )
    max_in_flight_bytes: int = Field(
        500_000_000, ge=1, description="bytes of their bodies at a time; beyond it 429"
    )
    max_in_flight_seconds: float = Field(
        30.0,
        gt=0,
        allow_inf_nan=False,
        description="predicted CPU seconds of their images at a time; beyond it 429",
    )
    max_reading_bytes: int = Field(
        200_000_000,
        ge=1,
        description="bytes held of bodies that are arriving; beyond it the slowest gets 429",
    )
    min_body_bytes_per_s: int = Field(
        10_000,
        ge=1,
        le=1_000_000_000,
        description="bytes a second of a body that have to arrive, after 5 seconds; below it 408",
    )
    timeout_ms: int = Field(
        30_000,
        ge=1,
        description="a request's deadline, in milliseconds from its body's end, unless it has "
        "`timeout_ms`",
    )
    max_timeout_ms: int = Field(120_000, ge=1, description="largest `timeout_ms` of a request")
    attempt_timeout_s: float = Field(
        20.0,
        gt=0,
        allow_inf_nan=False,
        description="seconds after which an image that TorchServe has not answered counts as lost"
        "; a model's `response_timeout_s`, where that is more",
    )
    restart_wait_s: float = Field(
        60.0,
        ge=0,
        allow_inf_nan=False,
        description="seconds since a worker's last answer for which requests wait for the next",
    )
    ready_window_s: float = Field(
        5.0,
        gt=0,
        allow_inf_nan=False,
        description="seconds for which a worker counts as alive after an answer"
        "; a third of the model's `response_timeout_s`, where that is more",
    )
    api_keys_file: str = Field(
        "", description="file of API keys' hashes, read again when it changes; empty: no key needed"
    )
    key_rate_per_s: float = Field(
        0.0,
        ge=0,
        le=1_000_000,
        allow_inf_nan=False,
        description="images a second that an API key may send; beyond it 429; 0: no limit",
    )
    key_burst: int = Field(
        0,
        ge=0,
        le=1_000_000,
        description="images that an API key may send at once; 0: those of one second",
    )
    open_metrics: bool = Field(
        True, description="whether `/metrics` is open; false: with an API key only"
    )
    open_docs: bool = Field(
        True, description="whether there are the page at `/`, `/docs` and `/openapi.json`"
    )
    cors_origins: Names = Field(
        (),
        description="web origins that may call the API from a browser, separated by commas"
        "; `*`: any",
    )
    root_path: str = Field(
        "",
        description="path prefix below which a proxy publishes the gateway, such as "
        "`/segmentation`; whether the proxy takes it off or not",
    )
    trusted_proxies: Names = Field(
        (),
        description="addresses or networks of proxies whose `X-Forwarded-For` and "
        "`X-Forwarded-Proto` are believed, separated by commas; `*`: any",
    )
    max_connections: int = Field(
        1024, ge=1, le=100_000, description="open connections of clients; beyond it 503"
    )
    header_timeout_s: float = Field(
        10.0,
        gt=0,
        allow_inf_nan=False,
        description="seconds in which a request's head has to arrive",
    )
    write_timeout_s: float = Field(
        20.0,
        gt=0,
        allow_inf_nan=False,
        description="seconds in which a client has to read each 64 KiB of its answer",
    )
    drain_delay_s: float = Field(
        0.0,
        ge=0,
        allow_inf_nan=False,
        description="seconds from `/readyz` answering 503 at a stop to refusing new connections",
    )
    shutdown_grace_s: float = Field(
        20.0,
        ge=0,
        allow_inf_nan=False,
        description="seconds that requests in flight get to finish at a stop",
    )
    log_format: Literal["human", "json"] = Field("human", description="how log lines are written")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="least severe log lines that are written"
    )

    model_store: Path = Field(
        ROOT / "model_store", description="folder of model folders and packed archives"
    )
    workers: int = Field(
        0,
        ge=0,
        le=64,
        description="Python workers per model; 0: two or three a GPU, else one a processor, up to "
        "four of all models",
    )
    threads: int = Field(
        0,
        ge=0,
        le=1024,
        description="CPU threads per worker; 0: the processors divided by `workers`",
    )
    worker_host: str = Field(
        "127.0.0.1", description="address TorchServe's inference API listens on"
    )
    worker_port: Port = Field(8080, description="port of TorchServe's inference API")
    worker_socket: str = Field(
        "",
        description="path of the Unix socket of TorchServe's inference API, in place of "
        "`worker_host` and `worker_port`; empty: none",
    )
    worker_metrics_port: Port = Field(8082, description="port of TorchServe's own metrics; 0: any")
    worker_status_port: Port = Field(
        8083, description="port of the worker's own health check and metrics; 0: any"
    )
    worker_silence_s: float = Field(
        90.0,
        gt=0,
        allow_inf_nan=False,
        description="seconds without an answer after which the worker ends, to be restarted",
    )
    worker_drain_s: float = Field(
        0.0,
        ge=0,
        allow_inf_nan=False,
        description="seconds at most for which the worker serves on at a stop, while gateways send "
        "their images to others",
    )
    job_queue_size: int = Field(
        100, ge=1, le=100_000, description="requests that TorchServe queues per model"
    )
    java_options: str = Field(
        "-Xmx1g -XX:+UseSerialGC -XX:TieredStopAtLevel=1",
        description="options for TorchServe's Java; these cost half the CPU of its defaults",
    )

    @property
    def max_answer_bytes(self) -> int:
        """Return how large TorchServe's answers may be: grey+alpha, incompressible, of one image
        or of those that share a request.
        """
        return min(2 * max(self.max_pixels, MOST_JOINT_PIXELS) + 1_000_000, JAVA_MAX_INT)

    @model_validator(mode="before")
    @classmethod
    def _names_are_known(cls, values: object) -> object:
        if wrong := list(wrong_names(os.environ, cls.model_fields)):
            raise ValueError("\n".join(wrong))
        return values

    @field_validator("gateway_processes", mode="plain")
    @classmethod
    def _is_number_or_auto(cls, value: object) -> object:
        if value == "auto":
            return value
        if not re.fullmatch(r"\d{1,2}", str(value)) or not 1 <= int(str(value)) <= MAX_PROCESSES:
            raise ValueError(f"choose a number from 1 to {MAX_PROCESSES}, or auto")
        return int(str(value))

    @field_validator("models", "cors_origins", "pin_model", "trusted_proxies", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(split_list(value)) if isinstance(value, str) else value

    @field_validator("cors_origins", mode="after")
    @classmethod
    def _are_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(as_browsers_write, value))

    @field_validator("root_path", mode="after")
    @classmethod
    def _is_prefix(cls, value: str) -> str:
        return checked_prefix(value)

    @field_validator("trusted_proxies", mode="after")
    @classmethod
    def _are_proxies(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(checked_proxy, value))

    @field_validator("models", mode="after")
    @classmethod
    def _has_models(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError("name at least one model, for example fcn8s-lite2")
        for index, name in enumerate(value):
            if not re.fullmatch(MODEL_NAME, name):
                raise ValueError(f"{name!r} is no model's name; it has letters, digits and . _ -")
            if name in value[:index]:
                raise ValueError(f"{name!r} is there twice; name each model once")
        return value

    @field_validator("formats", mode="before")
    @classmethod
    def _known_formats(cls, value: object) -> object:
        formats = frozenset(split_list(value)) if isinstance(value, str) else value
        known = DEFAULT_FORMATS | OPTIONAL_FORMATS
        if not isinstance(formats, frozenset) or not formats or not formats <= known:
            raise ValueError(f"choose from {', '.join(sorted(known))}, separated by commas")
        return formats

    @field_validator("torchserve_url", mode="after")
    @classmethod
    def _is_address(cls, value: str) -> str:
        value = ",".join(part.strip().rstrip("/") for part in value.split(","))
        parse_addresses(value)
        return value

    @field_validator("pin_model", mode="after")
    @classmethod
    def _are_digests(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for pin in value:
            if not re.fullmatch(PIN, pin):
                raise ValueError(f"{pin!a} is no digest; write its 16 characters, or name@digest")
        return value

    @model_validator(mode="after")
    def _pins_are_of_models(self) -> Self:
        names = [pin.rpartition("@")[0] for pin in self.pin_model]
        if len(names) > len(set(names)):
            raise ValueError("pin_model names two digests of one model; name one")
        for name in names:
            if (name and name not in self.models) or (not name and len(self.models) > 1):
                raise ValueError(
                    f"pin_model: write name@digest, with one of {', '.join(self.models)}"
                )
        return self

    @field_validator("worker_socket", mode="after")
    @classmethod
    def _is_socket_path(cls, value: str) -> str:
        return checked_socket_path(value) if value else value

    @model_validator(mode="after")
    def _keys_have_a_rate(self) -> Self:
        if self.key_rate_per_s and not self.api_keys_file:
            raise ValueError(
                "key_rate_per_s is set, and there are no keys; name a file in "
                "FCNSERVE_API_KEYS_FILE or leave FCNSERVE_KEY_RATE_PER_S at 0"
            )
        return self

    @model_validator(mode="after")
    def _default_deadline_is_allowed(self) -> Self:
        if self.timeout_ms > self.max_timeout_ms:
            raise ValueError(
                f"timeout_ms is {self.timeout_ms}, above max_timeout_ms, {self.max_timeout_ms}; "
                "lower FCNSERVE_TIMEOUT_MS or raise FCNSERVE_MAX_TIMEOUT_MS"
            )
        return self


def split_list(text: str) -> list[str]:
    return [item for part in text.split(",") if (item := part.strip())]
