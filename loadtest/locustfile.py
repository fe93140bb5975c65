"""Locust's traffic: one smoke user, who sends the sample photo and looks at the answer.

Run by the `locust` service of docker-compose.yml (profile `load`), or beside a running server:
`locust -f loadtest/locustfile.py --host http://127.0.0.1:8000`. It needs Locust and nothing else.
"""

from pathlib import Path

from locust import HttpUser, between, task

PHOTO = Path(__file__).resolve().parents[1] / "service" / "samples" / "cat.jpg"
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


class SmokeUser(HttpUser):
    """One photo after another, with a little pause."""

    wait_time = between(0.1, 0.5)

    def on_start(self) -> None:
        self.photo = PHOTO.read_bytes()

    @task
    def segment(self) -> None:
        """An answer other than a PNG is a failure, whatever its status says."""
        with self.client.post(
            "/v1/segment",
            data=self.photo,
            headers={"Content-Type": "image/jpeg"},
            catch_response=True,
        ) as answer:
            if answer.status_code != 200:  # noqa: PLR2004 - OK
                answer.failure(f"{answer.status_code}: {answer.text[:200]}")
            elif not answer.content.startswith(PNG_SIGNATURE):
                answer.failure(f"not a PNG: {answer.content[:16]!r}")
