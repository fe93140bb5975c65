"""What is sent, and what answers mean, without sending anything: both clients run this.

In: a photo's bytes and options. Out: generators that yield what is to be done (`Send`, `Wait`), are
sent what came of it, and return the result. Called by `fcnserve_client.http.client` and
`fcnserve_client.http.async_client`.
"""

import json
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar
from urllib.parse import quote
from uuid import uuid4

from fcnserve_client.errors import (
    FcnserveError,
    ModelChangedError,
    RequestTimeoutError,
    UnexpectedAnswerError,
)
from fcnserve_client.http.answer import Answer, error_in
from fcnserve_client.http.options import (
    MEDIA_TYPES,
    Output,
    Parameters,
    RenderOptions,
    SegmentOptions,
    render_query,
    segment_query,
)
from fcnserve_client.http.retries import Budget, RetryPolicy
from fcnserve_client.model import Model
from fcnserve_client.segmentation import Segmentation

JSON = "application/json"
UNLIMITED = 1 << 30
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Send:
    """A request that is to be sent, once; the answer is due within so many seconds."""

    method: str
    url: str
    headers: dict[str, str] = field(repr=False)
    query: Parameters = ()
    body: bytes = field(default=b"", repr=False)
    within_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Wait:
    """A pause of so many seconds."""

    seconds: float


Exchange = Generator[Send | Wait, Answer | FcnserveError | None, Result]
"""Yields what is to be done, is sent the answer, or why there is none, and returns a result."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """An output of the API: the body of the answer, as the server wrote it.

    `model` is name@digest, `timing` the milliseconds of each stage.
    """

    body: bytes = field(repr=False)
    media_type: str
    model: str
    timing: dict[str, float]
    request_id: str


@dataclass(frozen=True, slots=True)
class Core:
    """The API of one server. `models` are those whose cards were read, by name@digest."""

    url: str
    key: str | None = field(repr=False)
    policy: RetryPolicy
    models: dict[str, Model] = field(default_factory=dict, repr=False)

    def segment(
        self, photo: bytes, options: SegmentOptions
    ) -> Exchange[Callable[[], Segmentation]]:
        """Have a photo segmented; returns what decodes the answer, which takes CPU time.

        The card of a model is read once for each digest.
        """
        call, query = self._begin(), segment_query(options)
        while True:
            answer = yield from call.post(photo, query, MEDIA_TYPES["mask"])
            model = self.models.get(answer.tag) or (yield from self._read_model(answer, call))
            if model.tag == answer.tag:
                orientation = options.get("orientation") or "exif"
                return partial(call.result, answer, model, photo=photo, orientation=orientation)
            yield call.pause(ModelChangedError(f"{answer.tag} became {model.tag} meanwhile"))

    def render(
        self, photo: bytes, output: Output, media_type: str | None, options: RenderOptions
    ) -> Exchange[Rendered]:
        """Have any output made of a photo; `media_type` where an overlay is not to be a PNG."""
        call, expected = self._begin(), media_type or MEDIA_TYPES[output]
        answer = yield from call.post(photo, render_query(output, options), expected)
        return Rendered(
            answer.body, answer.media_type, answer.tag, answer.timing, answer.request_id(call.id)
        )

    def list_models(self) -> Exchange[list[Model]]:
        """Read the cards of all models; the server's default is the first."""
        call = self._begin()
        answer = yield from call.get("/v1/models")
        cards = call.json(answer)
        if not isinstance(cards, list):
            raise call.unexpected(answer, "is no list of models")
        return [self._keep(card, call) for card in cards]

    def ready(self, within_s: float) -> Exchange[None]:
        """Wait until the server is ready, however many requests that takes."""
        policy = RetryPolicy(within_s, UNLIMITED, self.policy.clock, self.policy.chance)
        yield from self._begin(policy).get("/readyz")

    def _begin(self, policy: RetryPolicy | None = None) -> "_Call":
        return _Call(self.url, self.key, (policy or self.policy).begin())

    def _read_model(self, answer: Answer, call: "_Call") -> Exchange[Model]:
        name, _, digest = answer.tag.rpartition("@")
        if not digest:
            raise call.unexpected(answer, "has no X-Model, as a proxy leaves it")
        card = yield from call.get(f"/v1/models/{quote(name, safe='')}")
        return self._keep(call.json(card), call)

    def _keep(self, card: Any, call: "_Call") -> Model:
        try:
            model = Model.from_card(card)
        except ValueError as error:
            raise UnexpectedAnswerError(f"{self.url}: {error}", request_id=call.id) from error
        return self.models.setdefault(model.tag, model)


@dataclass(frozen=True, slots=True)
class _Call:
    """One call of the program: its requests share a total time and a request ID."""

    url: str
    key: str | None
    budget: Budget
    id: str = field(default_factory=lambda: uuid4().hex)

    def post(self, photo: bytes, query: Parameters, expected: str) -> Exchange[Answer]:
        headers = {"Content-Type": "application/octet-stream"}
        return self._answered("POST", "/v1/segment", expected, headers, query, photo)

    def get(self, path: str) -> Exchange[Answer]:
        return self._answered("GET", path, JSON, {})

    def pause(self, error: FcnserveError) -> Wait:
        """Return the pause after a failure; raises it where no attempt is left."""
        error.request_id = error.request_id or self.id
        return Wait(self.budget.wait_after(error))

    def json(self, answer: Answer) -> Any:
        try:
            return json.loads(answer.body)
        except (ValueError, RecursionError) as error:
            raise self.unexpected(answer, "is no JSON") from error

    def result(self, answer: Answer, model: Model, **parts: Any) -> Segmentation:
        """Decode a label map."""
        given = answer.request_id(self.id)
        try:
            return Segmentation.from_png(
                answer.body, model, timing=answer.timing, request_id=given, **parts
            )
        except ValueError as error:
            raise self.unexpected(answer, str(error)) from error

    def unexpected(self, answer: Answer, why: str) -> UnexpectedAnswerError:
        detail = f"the answer of {self.url}: {why}"
        given = answer.request_id(self.id)
        return UnexpectedAnswerError(detail, status=answer.status, request_id=given)

    def _answered(
        self,
        method: str,
        path: str,
        expected: str,
        headers: dict[str, str],
        query: Parameters = (),
        body: bytes = b"",
    ) -> Exchange[Answer]:
        """Send a request until it has a result, or no attempt is left."""
        named = {"Accept": expected, "Accept-Encoding": "identity", "X-Request-ID": self.id}
        key = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        while True:
            left_s = self.budget.left_s
            sent = Send(method, self.url + path, headers | named | key, query, body, left_s)
            came = (yield sent) if left_s > 0 else RequestTimeoutError("no time is left")
            checked = self._checked(came, expected)
            if isinstance(checked, Answer):
                return checked
            yield self.pause(checked)

    def _checked(
        self, came: Answer | FcnserveError | None, expected: str
    ) -> Answer | FcnserveError:
        """Return the answer, or why it is none."""
        if isinstance(came, Answer):
            return error_in(came, expected, self.url, self.id) or came
        return came or UnexpectedAnswerError("the client sent nothing")
