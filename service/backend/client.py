"""The client of TorchServe: an image's bytes and options out, the worker's answer in.

An answer without the worker's model header is TorchServe's own: no worker took the image. Called by
`service.backend.attempt` (images), `service.backend.registry` (cards) and `service.backend.health`
(liveness probes).
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from types import SimpleNamespace

import aiohttp
from aiohttp.typedefs import LooseHeaders

from handlers.shared.errors import PROBLEM_MEDIA_TYPE, ProblemError
from handlers.shared.wire import (
    BODY_MEDIA_TYPE,
    DEFERRED_MEDIA_TYPE,
    MODEL_HEADER,
    OPTIONS_HEADER,
    REPORT_HEADER,
    Report,
    WorkerOptions,
)
from service.errors import (
    ConnectionBrokenError,
    ModelMissingError,
    NotReadyError,
    WorkerCrashedError,
    WorkerSilentError,
)

SKIPPED_HEADERS = ("Accept", "Accept-Encoding", "User-Agent")  # each costs the worker Python time
CONNECT_TIMEOUT_S = 2.0

NO_CONNECTION = "the worker is starting or gone; try again shortly"
NO_ANSWER = (
    "the worker has not answered within {timeout_s:g} s: this image is lost; try again, or raise "
    "FCNSERVE_ATTEMPT_TIMEOUT_S if it is that slow"
)
CONNECTION_BROKE = "the connection to the worker broke while it had this image; try again"
# what each failure of a request means; an exception's own class counts before its bases
TRANSLATIONS: Mapping[type[Exception], tuple[type[ProblemError], str]] = {
    aiohttp.ClientConnectorError: (NotReadyError, NO_CONNECTION),
    aiohttp.ConnectionTimeoutError: (NotReadyError, NO_CONNECTION),
    aiohttp.ServerTimeoutError: (WorkerSilentError, NO_ANSWER),
    TimeoutError: (WorkerSilentError, NO_ANSWER),
    aiohttp.ClientError: (ConnectionBrokenError, CONNECTION_BROKE),
}


@dataclass(frozen=True, slots=True)
class WorkerAnswer:
    """A mask, a card or a problem, as the worker wrote it."""

    body: bytes
    media_type: str
    model: str  # name@digest
    report: Report

    @property
    def is_deferred(self) -> bool:
        """Whether to send the image again: the worker put others of its batch first."""
        return self.media_type == DEFERRED_MEDIA_TYPE

    @property
    def outcome(self) -> str:
        """One of `service.metrics.attempts.OUTCOMES`."""
        if self.is_deferred:
            return "put_off"
        return "problem" if self.media_type == PROBLEM_MEDIA_TYPE else "answered"


class TorchServeClient:
    """TorchServe's inference API, over kept connections, whose number is not limited here: callers
    limit how much is sent at a time.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            skip_auto_headers=SKIPPED_HEADERS,
            auto_decompress=False,
            trace_configs=[reuse_tracing()],
        )

    async def close(self) -> None:
        await self._session.close()

    async def send(
        self, model: str, body: bytes, options: WorkerOptions, timeout_s: float
    ) -> WorkerAnswer:
        """Send `body` to a worker and return its answer.

        Raises NotReadyError, WorkerCrashedError, or WorkerFailedError; WorkerSilentError after
        `timeout_s`, since TorchServe may lose a request. A request's deadline is the caller's.
        """
        headers = {OPTIONS_HEADER: options.to_json(), "Content-Type": BODY_MEDIA_TYPE}
        url = f"{self._url}/predictions/{model}"
        with translated_errors(timeout_s):
            response, answer = await self._post(url, body, headers, timeout_s)
        if MODEL_HEADER not in response.headers:
            raise problem_of_torchserve(response.status, model)
        report = Report.from_json(response.headers.get(REPORT_HEADER, ""))
        return WorkerAnswer(answer, response.content_type, response.headers[MODEL_HEADER], report)

    async def _post(
        self,
        url: str,
        body: bytes,
        headers: LooseHeaders,
        timeout_s: float,
        *,
        may_repeat: bool = True,
    ) -> tuple[aiohttp.ClientResponse, bytes]:
        """Send and read. A kept connection may turn out to have been closed by TorchServe: then,
        and before any byte of an answer, the request is repeated once.
        """
        connection = SimpleNamespace(is_reused=False)
        timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=CONNECT_TIMEOUT_S)
        try:
            async with self._session.post(
                url, data=body, headers=headers, timeout=timeout, trace_request_ctx=connection
            ) as response:
                return response, await response.read()
        except aiohttp.ServerDisconnectedError as error:
            has_begun_to_answer = not isinstance(error.message, str)
            if has_begun_to_answer or not (connection.is_reused and may_repeat):
                raise
        return await self._post(url, body, headers, timeout_s, may_repeat=False)


def reuse_tracing() -> aiohttp.TraceConfig:
    """Make aiohttp set `is_reused` on the context of a request that uses a kept connection."""

    async def on_reuse(
        _session: aiohttp.ClientSession,
        context: SimpleNamespace,
        _parameters: aiohttp.TraceConnectionReuseconnParams,
    ) -> None:
        context.trace_request_ctx.is_reused = True

    trace = aiohttp.TraceConfig()
    trace.on_connection_reuseconn.append(on_reuse)
    return trace


@contextmanager
def translated_errors(timeout_s: float) -> Iterator[None]:
    """Raise aiohttp's exceptions as the problems of TRANSLATIONS."""
    try:
        yield
    except tuple(TRANSLATIONS) as error:
        kind = next(each for each in type(error).__mro__ if each in TRANSLATIONS)
        problem, detail = TRANSLATIONS[kind]
        raise problem(detail.format(timeout_s=timeout_s)) from error


def problem_of_torchserve(status: int, model: str) -> NotReadyError | WorkerCrashedError:
    """Translate an answer of TorchServe's own: 404 is a model that it was not given, 503 the lack
    of a worker.
    """
    if status == HTTPStatus.NOT_FOUND:
        return ModelMissingError(
            f"model {model} is to be served here, and was left out since it could not be packed or "
            "loaded; see the worker's log, or choose another with model="
        )
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        return NotReadyError("no worker takes requests at present; try again shortly")
    return WorkerCrashedError("the worker crashed while it had this image; try again")
