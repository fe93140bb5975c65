"""The way to TorchServe and back: an image's bytes out, the worker's answer in.

An answer without our own header is TorchServe's own, and says that no worker took the image.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any

import aiohttp
from aiohttp.typedefs import LooseHeaders

from handlers.shared.errors import PROBLEM_MEDIA_TYPE, WorkerFailedError
from service.errors import (
    ConnectionBrokenError,
    ModelMissingError,
    NotReadyError,
    WorkerCrashedError,
    WorkerSilentError,
)

OPTIONS_HEADER = "X-Fcnserve-Options"
MODEL_HEADER = "X-Fcnserve-Model"
REPORT_HEADER = "X-Fcnserve-Report"
PUT_OFF_MEDIA_TYPE = "application/x-put-off"

SKIPPED_HEADERS = ("Accept", "Accept-Encoding", "User-Agent")  # each costs the worker Python time
CONNECT_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class Report:
    """What the worker tells of an answer; see handlers/shared/wire.py."""

    stages_ms: dict[str, float]
    batch_images: int | None
    group: dict[str, int] | None
    class_pixels: dict[int, int]


@dataclass(frozen=True, slots=True)
class WorkerAnswer:
    """A mask, a card or a problem, as the worker wrote it."""

    body: bytes
    media_type: str
    model: str  # name@digest
    report: Report

    @property
    def is_put_off(self) -> bool:
        """It is to be sent again: others of its batch went first."""
        return self.media_type == PUT_OFF_MEDIA_TYPE

    @property
    def outcome(self) -> str:
        """What to count it as; one of `service.metrics.gateway.OUTCOMES`."""
        if self.is_put_off:
            return "put_off"
        return "problem" if self.media_type == PROBLEM_MEDIA_TYPE else "answered"


class TorchServeClient:
    """TorchServe's inference API, over connections that stay open.

    As many as are wanted: how much is sent at a time is the caller's to bound.
    """

    def __init__(self, url: str, attempt_timeout_s: float) -> None:
        self._url = url
        self._attempt_timeout_s = attempt_timeout_s
        self._allowed_s: dict[str, float] = {}
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            skip_auto_headers=SKIPPED_HEADERS,
            auto_decompress=False,
            trace_configs=[noting_reuse()],
        )

    async def close(self) -> None:
        await self._session.close()

    def allow(self, model: str, seconds: float) -> None:
        """Let an attempt with this model take so long: it is slow, and not gone before that."""
        self._allowed_s[model] = seconds

    def attempt_s(self, model: str) -> float:
        return max(self._attempt_timeout_s, self._allowed_s.get(model, 0.0))

    async def send(self, model: str, body: bytes, options: Mapping[str, object]) -> WorkerAnswer:
        """Have `body` answered; raises NotReadyError, WorkerCrashedError or WorkerFailedError.

        Deadlines are the caller's; what TorchServe has lost is given up after the attempt's own.
        """
        headers: LooseHeaders = {
            OPTIONS_HEADER: json.dumps(options, separators=(",", ":")),
            "Content-Type": "application/octet-stream",
        }
        url = f"{self._url}/predictions/{model}"
        seconds = self.attempt_s(model)
        try:
            response, answer = await self._post(url, body, headers, seconds)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise NotReadyError("the worker is starting or gone; try again shortly") from error
        except TimeoutError as error:
            raise WorkerSilentError(
                f"the worker has not answered within {seconds:g} s: this image is "
                "lost; try again, or raise FCNSERVE_ATTEMPT_TIMEOUT_S if it is that slow"
            ) from error
        except aiohttp.ClientError as error:
            raise ConnectionBrokenError(
                "the connection to the worker broke while it had this image; try again"
            ) from error
        if MODEL_HEADER not in response.headers:
            raise foreign_answer(response.status, model)
        return read_answer(response, answer)

    async def _post(
        self,
        url: str,
        body: bytes,
        headers: LooseHeaders,
        seconds: float,
        *,
        may_retry: bool = True,
    ) -> tuple[aiohttp.ClientResponse, bytes]:
        """Send and read. A connection that had been open for a while may turn out to have been
        closed at the other end: then, and before any byte of an answer, it is tried once more.
        """
        connection = SimpleNamespace(reused=False)
        timeout = aiohttp.ClientTimeout(total=seconds, sock_connect=CONNECT_TIMEOUT_S)
        try:
            async with self._session.post(
                url, data=body, headers=headers, timeout=timeout, trace_request_ctx=connection
            ) as response:
                return response, await response.read()
        except aiohttp.ServerDisconnectedError as error:
            has_begun_to_answer = not isinstance(error.message, str)
            if has_begun_to_answer or not (connection.reused and may_retry):
                raise
        return await self._post(url, body, headers, seconds, may_retry=False)


def noting_reuse() -> aiohttp.TraceConfig:
    """Set `reused` on the context of a request that goes over a connection with a past."""

    async def note(
        _session: aiohttp.ClientSession,
        context: SimpleNamespace,
        _parameters: aiohttp.TraceConnectionReuseconnParams,
    ) -> None:
        context.trace_request_ctx.reused = True

    trace = aiohttp.TraceConfig()
    trace.on_connection_reuseconn.append(note)
    return trace


def read_answer(response: aiohttp.ClientResponse, body: bytes) -> WorkerAnswer:
    return WorkerAnswer(
        body,
        response.content_type,
        response.headers[MODEL_HEADER],
        read_report(response.headers.get(REPORT_HEADER, "")),
    )


def read_report(header: str) -> Report:
    """Read the worker's report; another release may have written another one."""
    try:
        report: dict[str, Any] = json.loads(header)
        return Report(
            report["stages_ms"],
            report["batch_images"],
            report["group"],
            {int(number): pixels for number, pixels in report["class_pixels"].items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WorkerFailedError(
            f"{REPORT_HEADER} is not what a worker of this version sends; "
            "run gateway and worker from the same release"
        ) from error


def foreign_answer(status: int, model: str) -> NotReadyError | WorkerCrashedError:
    """Read an answer that is not the worker's: TorchServe says 404 for a model that it was not
    given, 503 for want of a worker.
    """
    if status == HTTPStatus.NOT_FOUND:
        return ModelMissingError(
            f"model {model} is to be served here, and was left out since it could not be packed or "
            "loaded; see the worker's log, or choose another with model="
        )
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        return NotReadyError("no worker takes requests at present; try again shortly")
    return WorkerCrashedError("the worker crashed while it had this image; try again")
