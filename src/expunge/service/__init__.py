"""The service: a deletion desk over HTTP, an API under /v1 and a page at /. Design §1."""
