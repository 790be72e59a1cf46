"""The page: a file for each kind of page. htmx only keeps a request's path up to date."""

from expunge.service.pages import (
    audits,
    casework,
    certificates,
    failures,
    models,
    people,
    register,
    requests,
    sessions,
    today,
)

routers = (
    sessions.router,
    failures.router,
    today.router,
    requests.router,
    register.router,
    casework.router,
    people.router,
    certificates.router,
    models.router,
    audits.router,
)
"""All pages but that of webhooks."""
