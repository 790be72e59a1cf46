"""The API under /v1: a file for each kind of thing. OpenAPI 3.1 at /v1/openapi.json."""

from expunge.service.api import casework, certificates, log, models, operation, people, register, requests

routers = tuple(room.router for room in (register, requests, casework, people, models, certificates, log, operation))
"""All routes of the API but those of webhooks."""
