"""The way to TorchServe and back: an image's bytes out, the worker's answer in.

An answer without our own header is TorchServe's own, and says that no worker took the image.
"""

from dataclasses import dataclass
from http import HTTPStatus
from types import SimpleNamespace

import aiohttp
from aiohttp.typedefs import LooseHeaders

from handlers.shared.errors import PROBLEM_MEDIA_TYPE
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
        return self.media_type == DEFERRED_MEDIA_TYPE

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

    async def send(self, model: str, body: bytes, options: WorkerOptions) -> WorkerAnswer:
        """Have `body` answered; raises NotReadyError, WorkerCrashedError or WorkerFailedError.

        Deadlines are the caller's; what TorchServe has lost is given up after the attempt's own.
        """
        headers: LooseHeaders = {
            OPTIONS_HEADER: options.to_json(),
            "Content-Type": BODY_MEDIA_TYPE,
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
        Report.from_json(response.headers.get(REPORT_HEADER, "")),
    )


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
