"""The API under /v1: a file for each kind of thing. OpenAPI 3.1 at /v1/openapi.json."""

from expunge.service.api import (
    casework,
    certificates,
    doctor,
    jobs,
    log,
    models,
    operation,
    people,
    receipts,
    register,
    requests,
    rows,
    suppressions,
    tokens,
    verification,
)

routers = (
    register.router,
    requests.router,
    receipts.router,
    casework.router,
    people.router,
    models.router,
    jobs.router,
    rows.router,
    certificates.router,
    log.router,
    operation.router,
    doctor.router,
    tokens.router,
    suppressions.router,
    verification.router,
)
"""All routes of the API but those of webhooks."""
