"""A free port for a server of a test."""

from service.ports import free_ports


def free_port() -> int:
    """Find a port without a listener."""
    return free_ports(1)[0]
