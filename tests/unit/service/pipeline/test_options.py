"""What the worker is asked for is what the request says, also where it is kept from another."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from handlers.shared.wire import WorkerOptions
from service.context import REQUEST_ID
from service.pipeline.options import RequestOptions, members_of
from service.pipeline.query import MAX_KEPT
from service.render import RenderOptions
from tests.support.fakes import CAT, running

of_all_images = st.builds(
    WorkerOptions,
    output=st.sampled_from(["mask", "confidence"]),
    orientation=st.sampled_from(["exif", "stored"]),
    max_side=st.none() | st.integers(32, 16384),
)
CARD: Any = None  # not read


@given(
    of_all_images,
    st.floats(0, 1e9),
    st.booleans(),
    st.just("") | st.from_regex(REQUEST_ID, fullmatch=True),
)
def test_the_worker_reads_each_option(
    shared: WorkerOptions, cost_s: float, is_suspect: bool, request_id: str
) -> None:
    options = RequestOptions("m", CARD, None, RenderOptions(), None, members_of(shared), request_id)
    written = options.options_of_image(cost_s, is_suspect=is_suspect)
    assert WorkerOptions.model_validate_json(written) == shared.model_copy(
        update={"cost_s": cost_s, "suspect": is_suspect, "request_id": request_id}
    )


async def test_requests_with_the_same_query_have_their_own_ids() -> None:
    async with running() as gateway:
        await gateway.ready()
        for number in range(3):
            url, head = "/v1/segment?max_side=64", {"x-request-id": f"id-{number}"}
            answer = await gateway.http.post(url, content=CAT, headers=head)
            assert answer.status_code == 200
        asked = [
            (call.options["request_id"], call.options["max_side"])
            for call in gateway.torchserve.photos
        ]
        assert asked == [("id-0", 64), ("id-1", 64), ("id-2", 64)]


async def test_an_accept_header_counts_beside_the_query() -> None:
    async with running() as gateway:
        await gateway.ready()
        kinds = ["image/png", "application/json", "image/png", "image/jpeg"]
        for kind in kinds:
            answer = await gateway.http.post("/v1/segment", content=CAT, headers={"accept": kind})
            assert answer.headers["content-type"] == kind


async def test_only_so_many_options_are_kept() -> None:
    async with running() as gateway:
        await gateway.ready()
        kept = gateway.components.segmenter.options._kept
        for number in range(MAX_KEPT + 2):
            answer = await gateway.http.post(
                f"/v1/segment?timeout_ms={9000 + number}", content=b"x"
            )
            assert answer.status_code == 400
        assert len(kept) == 2
