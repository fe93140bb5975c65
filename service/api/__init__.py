"""The HTTP API: routes, middleware, the OpenAPI document. Calls `service.pipeline`."""
