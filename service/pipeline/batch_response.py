"""The response of a batch: one part, or one element of a JSON list, an image.

Outcomes come in, the response goes out. Called by `service.pipeline.batch`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fastapi import Response

from handlers.shared.errors import PROBLEM_MEDIA_TYPE, ProblemError
from service.body.multipart_mixed import MixedPart, part_headers, write_mixed
from service.metrics.stage_times import StageTimes
from service.pipeline.segment import answer_headers, content_digest
from service.problem_response import problem_headers, problem_response
from service.render import Output, Rendered

JSON_OUTPUTS = {Output.rle, Output.polygons, Output.summary}


@dataclass(frozen=True, slots=True)
class ImageAnswer:
    """One image's answer, and the model (name@digest) that it comes from."""

    rendered: Rendered
    model: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """One image's answer or problem, and its stage times."""

    filename: str
    result: ImageAnswer | ProblemError
    stages: StageTimes

    @property
    def body(self) -> bytes:
        """The same bytes as the response to this image alone."""
        if isinstance(self.result, ProblemError):
            return bytes(problem_response(self.result).body)
        return self.result.rendered.body

    @property
    def headers(self) -> Mapping[str, str]:
        """The same headers as of the response to this image alone."""
        timing = {"Server-Timing": self.stages.server_timing()}
        if isinstance(self.result, ProblemError):
            digest = {"Content-Digest": content_digest(self.body)}
            retry = {"Retry-After": self.retry_after} if self.retry_after else {}
            return {"Content-Type": PROBLEM_MEDIA_TYPE, **digest, **retry, **timing}
        rendered = self.result.rendered
        answer = answer_headers(rendered.body, self.result.model)
        return {"Content-Type": rendered.media_type, **answer, **timing}

    def part(self, index: int) -> MixedPart:
        """Return the part of a `multipart/mixed` response, for the image at `index`."""
        return MixedPart({**self.headers, **part_headers(index, self.filename)}, self.body)

    @property
    def retry_after(self) -> str:
        problem = self.result
        headers = problem_headers(problem) if isinstance(problem, ProblemError) else {}
        return headers.get("Retry-After", "")


def respond(outcomes: Sequence[Outcome], output: Output) -> Response:
    """Write all outcomes in order."""
    if output in JSON_OUTPUTS:
        body = b"[" + b",".join(outcome.body for outcome in outcomes) + b"]"
        media_type = "application/json"
    else:
        body, media_type = write_mixed([each.part(index) for index, each in enumerate(outcomes)])
    return Response(body, media_type=media_type, headers=headers_of_all(body, outcomes))


def headers_of_all(body: bytes, outcomes: Sequence[Outcome]) -> dict[str, str]:
    """Name the model (both, where it was exchanged in between), and the longest `Retry-After` of
    images that were rejected.
    """
    headers = {"Content-Digest": content_digest(body)}
    answers = [outcome.result for outcome in outcomes if isinstance(outcome.result, ImageAnswer)]
    if answers:
        headers["X-Model"] = ", ".join(dict.fromkeys(answer.model for answer in answers))
    if waits := [int(outcome.retry_after) for outcome in outcomes if outcome.retry_after]:
        headers["Retry-After"] = str(max(waits))
    return headers
