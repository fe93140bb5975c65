"""Log lines: their form (`configuration`), and how they leave the process (`lines`)."""

from service.logs.configuration import configure

__all__ = ["configure"]
