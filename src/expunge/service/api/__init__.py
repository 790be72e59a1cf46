"""The API under /v1: a file for each kind of thing. OpenAPI 3.1 at /v1/openapi.json."""

from expunge.service.api import certificates, log, models, operation, people, requests, verification

routers = (
    requests.router,
    people.router,
    models.router,
    certificates.router,
    log.router,
    operation.router,
    verification.router,
)
"""All routes of the API but those of webhooks."""
