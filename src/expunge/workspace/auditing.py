"""Auditing a model of the workspace against a model retrained on the table, which never saw those forgotten. Theory §7."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from expunge.errors import WorkspaceBusy
from expunge.ledger import releases
from expunge.unlearning.unlearner import Unlearner
from expunge.workspace import batch, states
from expunge.workspace.specification import Specification
from expunge.workspace.states import Notify, silent
from expunge.workspace.storage import PATIENCE, Storage
from expunge.workspace.withheld import Forgetting

if TYPE_CHECKING:
    from expunge.audit.verdict import Verdict


@dataclass(frozen=True)
class AuditedModel:
    """A release that was audited.

    Args:
        release: its number among those of the model.
        certificate: its number among all.
        verdict: what was found.
    """

    release: int
    certificate: int
    verdict: "Verdict"


def audited(storage: Storage, name: str, draws: int, notify: Notify = silent, patience: float = PATIENCE) -> AuditedModel:
    """The verdict on the last release of model ``name``. Nobody who wants to forget waits while it is retrained.

    Args:
        storage: the workspace.
        name: name of the model.
        draws: number of models drawn of each of the two; more draws detect more.
        notify: told what is being done. Default: nobody.
        patience: seconds to wait for another process.

    Raises:
        WorkspaceInvalid: no such model.
        WorkspaceBusy: a table too large for the memory has changed meanwhile.
        ValueError: it was fitted with sigma 0, so nothing is promised.
    """
    from expunge import audit  # it brings the whole of SciPy's statistics, which the service is not to wait for
    from expunge.audit.verdict import Verdict

    with storage.database.reading() as connection:
        specification = Specification.from_json(releases.named(connection, name).specification)
    notify("reading the rows")
    with batch.in_charge(storage, patience):  # state and rows from the same moment
        last, unlearner = _last(storage, name), states.state_of(storage, name)
        with storage.database.reading() as connection:
            hidden = Forgetting.of(connection).forgotten(name)
        rows = storage.cached(specification.source(storage.table, hidden))
        next(iter(rows.batches()), None)  # read now, if they are kept in memory
    if not unlearner.settings.is_noisy:
        raise ValueError("with sigma 0 nothing is promised, so there is nothing to audit")
    try:
        notify("fitting a second model, which never saw those forgotten")
        never = Unlearner.learn_from(unlearner.objective, rows, unlearner.settings, engine=storage.engine)
        certificate, mu = unlearner.release.certificate, unlearner.true_mu(rows)
        true_distance = unlearner.true_distance(rows)
    except Exception as error:
        if _last(storage, name).table_digest != last.table_digest:
            raise WorkspaceBusy("the table has changed while the model was audited: audit it again") from error
        raise
    found = audit.AuditedRelease(
        rung=certificate.rung,
        forgotten=certificate.n_forgotten,
        certified_distance=certificate.distance_bound,
        true_distance=true_distance,
        retraining_error=never.release.certificate.distance_bound,
        certified_mu=certificate.mu,
        true_mu=mu,
        certified_mu_total=max(certificate.mu, certificate.mu_total),
        true_mu_total=mu,
        mu_error=unlearner.most_mu(never.release.certificate.distance_bound),
    )
    notify(f"comparing {draws:,} releases of each of the two models")
    outside = audit.black_box(unlearner.draw, never.draw, n_draws=draws)
    return AuditedModel(last.number, last.id, Verdict(audit.ExactAudit((found,)), outside, certificate.delta))


def _last(storage: Storage, name: str) -> releases.Release:
    with storage.database.reading() as connection:
        return releases.current(connection, name)
