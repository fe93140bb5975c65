"""What the connections of one gateway process share. Made by `service.server.server`, read by
`service.server.connection` and `service.server.asgi_scope`.
"""

from uvicorn.server import ServerState


class GatewayState(ServerState):
    """uvicorn's shared state, and whether this gateway is about to stop."""

    is_draining = False
