"""The page: a file for each kind of page. htmx only keeps a request's path up to date."""

from expunge.service.pages import (
    audits,
    casework,
    certificates,
    documents,
    failures,
    jobs,
    log,
    models,
    operation,
    people,
    register,
    requests,
    sessions,
    suppressions,
    today,
    verification,
)

routers = (
    sessions.router,
    failures.router,
    today.router,
    documents.router,
    requests.router,
    register.router,
    casework.router,
    people.router,
    suppressions.router,
    certificates.router,
    models.router,
    jobs.router,
    operation.router,
    audits.router,
    log.router,
    verification.router,
)
"""All pages but that of webhooks."""
