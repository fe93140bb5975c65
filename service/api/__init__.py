"""The HTTP API: routes, the OpenAPI document, and what surrounds every request. Enters
`pipeline`.
"""
