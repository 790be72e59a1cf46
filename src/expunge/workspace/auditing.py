"""Auditing a model of the workspace against a model retrained on the table, which never saw those forgotten. Theory §7."""

from typing import TYPE_CHECKING

from expunge.ledger import releases
from expunge.unlearning.unlearner import Unlearner
from expunge.workspace import batch, states
from expunge.workspace.specification import Specification
from expunge.workspace.storage import Storage

if TYPE_CHECKING:
    from expunge.audit.verdict import Verdict


def audited(storage: Storage, name: str, draws: int) -> "Verdict":
    """The verdict on the last release of model ``name``.

    Args:
        draws: number of models drawn of each of the two; more draws detect more.

    Raises:
        WorkspaceInvalid: no such model.
        ValueError: it was fitted with sigma 0, so nothing is promised.
    """
    from expunge import audit  # it brings the whole of SciPy's statistics, which the service is not to wait for
    from expunge.audit.verdict import Verdict

    with storage.database.reading() as connection:
        specification = Specification.from_json(releases.named(connection, name).specification)
    with batch.in_charge(storage):  # state and rows from the same moment
        unlearner = states.state_of(storage, name)
        rows = storage.cached(specification.source(storage.table))
    if not unlearner.settings.is_noisy:
        raise ValueError("with sigma 0 nothing is promised, so there is nothing to audit")
    never = Unlearner.learn_from(unlearner.objective, rows, unlearner.settings, engine=storage.engine)
    certificate, mu = unlearner.release.certificate, unlearner.true_mu(rows)
    found = audit.AuditedRelease(
        rung=certificate.rung,
        forgotten=certificate.n_forgotten,
        certified_distance=certificate.distance_bound,
        true_distance=unlearner.true_distance(rows),
        retraining_error=never.release.certificate.distance_bound,
        certified_mu=certificate.mu,
        true_mu=mu,
        certified_mu_total=max(certificate.mu, certificate.mu_total),
        true_mu_total=mu,
        mu_error=unlearner.most_mu(never.release.certificate.distance_bound),
    )
    outside = audit.black_box(unlearner.draw, never.draw, n_draws=draws)
    return Verdict(audit.ExactAudit((found,)), outside, certificate.delta)
