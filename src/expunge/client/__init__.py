"""A client of the service, in Python: typed answers, typed errors, and retries that are safe.

Examples:
    >>> from expunge.client import Client
    >>> with Client("https://desk.example.org", token="exp_…") as desk:  # doctest: +SKIP
    ...     receipt = desk.ask("17")["receipt"]
"""

from expunge.client.desk import Client
from expunge.client.errors import Busy, Refused, ServiceProblem, UnusableRows

__all__ = ["Busy", "Client", "Refused", "ServiceProblem", "UnusableRows"]
