"""The fixtures of the fake server."""

from tests.support.segment_server import fake, photos, url

__all__ = ["fake", "photos", "url"]
