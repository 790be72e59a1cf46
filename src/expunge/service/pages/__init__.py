"""The page: a file for each kind of page. htmx only keeps a request's path up to date."""

from expunge.service.pages import audits, certificates, failures, models, overview, people, requests, sessions

routers = (
    sessions.router,
    failures.router,
    overview.router,
    requests.router,
    people.router,
    certificates.router,
    models.router,
    audits.router,
)
"""All pages but that of webhooks."""
