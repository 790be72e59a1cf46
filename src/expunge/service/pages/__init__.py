"""The page: a file for each kind of page. htmx only keeps a request's path up to date."""

from expunge.service.pages import (
    audits,
    certificates,
    documents,
    failures,
    jobs,
    log,
    models,
    operation,
    overview,
    people,
    requests,
    sessions,
    verification,
)

routers = (
    sessions.router,
    failures.router,
    overview.router,
    documents.router,
    requests.router,
    people.router,
    certificates.router,
    models.router,
    jobs.router,
    operation.router,
    audits.router,
    log.router,
    verification.router,
)
"""All pages but that of webhooks."""
