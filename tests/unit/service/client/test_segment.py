"""Photos are sent to a fake server: files, failures, repeated requests."""

from pathlib import Path

import pytest

from service.client.errors import describe, is_about_all
from service.client.exchange import open_server
from service.client.files import plan_jobs
from service.client.query import Query, Server
from service.client.segment import PhotoOutcome, Run, segment_all
from tests.support.segment_server import ANSWER, FakeServer


async def _segment(
    photos: list[str], out: Path | str, url: str, query: Query | None = None, key: str | None = None
) -> list[PhotoOutcome]:
    query = query or Query()
    outcomes: list[PhotoOutcome] = []
    plan = plan_jobs(photos, str(out), query.output)
    async with open_server(Server(url, key), query) as server:
        await segment_all(plan, Run(server.send), outcomes.append, parallel=2)
    return outcomes


async def test_a_key_is_sent_with_every_photo_and_shown_in_no_message(
    fake: FakeServer, photos: list[str], tmp_path: Path, url: str
) -> None:
    await _segment(photos, tmp_path / "out", url, key="fcns_secret")
    assert fake.keys == ["Bearer fcns_secret"] * 6
    assert "secret" not in repr(Server(url, "fcns_secret"))


async def test_one_photo_is_written_to_the_named_file(
    photos: list[str], tmp_path: Path, url: str
) -> None:
    outcomes = await _segment(photos[:1], tmp_path / "new" / "mask.png", url)
    assert [outcome.error for outcome in outcomes] == [None]
    assert (tmp_path / "new" / "mask.png").read_bytes() == ANSWER + b"a"


async def test_several_photos_are_written_to_files_of_their_names_in_a_folder(
    photos: list[str], tmp_path: Path, url: str, fake: FakeServer
) -> None:
    await _segment(photos, tmp_path / "out", url)
    written = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert written == {f"{name}.png": ANSWER + name.encode() for name in "abcdef"}
    assert 1 <= fake.most_concurrent <= 2


async def test_a_failing_photo_does_not_affect_the_others(
    photos: list[str], tmp_path: Path, url: str
) -> None:
    Path(photos[1]).write_bytes(b"broken")
    Path(photos[2]).write_bytes(b"html")
    Path(photos[3]).unlink()
    outcomes = await _segment(photos, tmp_path / "out", url)
    errors = {str(outcome.job): str(outcome.error) for outcome in outcomes if outcome.error}
    assert errors.keys() == set(photos[1:4])
    assert errors[photos[1]].startswith("the image is cut short [broken_image")
    assert "answers 413 without a reason" in errors[photos[2]]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "e.png", "f.png"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"keyless", "no; give a key with --key or FCNSERVE_KEY [unauthorized]"),
        (b"nowhere", "no [model_not_found]"),
        (b"strange", "no [invalid_option]"),
        (
            b"elsewhere",
            "{url} redirects to https://a.org/; use that URL if you trust it [redirected]",
        ),
    ],
)
async def test_an_error_that_every_photo_would_meet_stops_the_others(
    photos: list[str], tmp_path: Path, url: str, body: bytes, message: str
) -> None:
    for photo in photos:
        Path(photo).write_bytes(body)
    outcomes = await _segment(photos, tmp_path / "out", url)
    assert 1 <= len(outcomes) <= 2  # the number of parallel requests
    assert {describe(outcome.error) for outcome in outcomes if outcome.error} == {
        message.format(url=url)
    }
    assert all(is_about_all(outcome.error) for outcome in outcomes)


@pytest.mark.parametrize("kind", ["text/html", "image/webp", "application/json"])
async def test_an_answer_of_another_server_is_not_written(
    photos: list[str], tmp_path: Path, url: str, fake: FakeServer, kind: str
) -> None:
    fake.kind = kind
    (outcome,) = await _segment(photos[:1], tmp_path / "a.png", url)
    assert f"answers with {kind!r} where fcnserve answers with image/png" in str(outcome.error)
    assert not (tmp_path / "a.png").exists()


async def test_a_request_to_a_busy_server_is_repeated(
    photos: list[str], tmp_path: Path, url: str, fake: FakeServer
) -> None:
    fake.busy_answers = 1
    (outcome,) = await _segment(photos[:1], tmp_path / "a.png", url)
    assert outcome.error is None


async def test_only_given_options_are_sent(
    photos: list[str], tmp_path: Path, url: str, fake: FakeServer
) -> None:
    query = Query(output="overlay", classes="dog,15", alpha=0.25, timeout_ms=500)
    await _segment(photos[:1], tmp_path / "a.jpg", url, query)
    sent = {"output": "overlay", "classes": "dog,15", "alpha": "0.25", "timeout_ms": "500"}
    assert fake.queries == [sent]
    assert fake.accepts == ["image/jpeg"]
