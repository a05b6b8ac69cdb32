"""The status page, and the same as JSON: one ASGI app, read only."""
