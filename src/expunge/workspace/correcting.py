"""Corrections: a request that begins and ends with the batch in which a person's rows are replaced."""

from collections.abc import Callable
from dataclasses import replace

from expunge.errors import WorkUnfinished
from expunge.ledger.requests import RequestKind, RequestState
from expunge.workspace import desk
from expunge.workspace.asking import Answer
from expunge.workspace.batch import Done, Outcome
from expunge.workspace.cases import Case
from expunge.workspace.expectations import Arriving
from expunge.workspace.plans import Plan
from expunge.workspace.storage import Storage


def corrected(
    storage: Storage, plan: Plan[Arriving], subject: str, actor: str, case: Case, run: Callable[[Plan[Arriving]], Done]
) -> tuple[Answer, list[Outcome]]:
    """The answer to a correction that is carried out now, and the new releases; the caller may change the workspace.

    Args:
        plan: of the correction.
        subject: id of the person.
        actor: who asks.
        case: how the request came.
        run: carries a plan out.

    Raises:
        WorkUnfinished: the rows are corrected, but something is left to do.
    """
    assert plan.work is not None  # rows that are corrected always are
    with storage.database.reading() as connection:
        made, receipt = desk.accepted(storage, connection, subject, plan.work.gone[0], actor, RequestKind.RECTIFY, case)
    try:
        done = run(Plan(replace(plan.work, made=(made,)), plan.expected))
    except WorkUnfinished as error:
        raise WorkUnfinished(f"{error}. Get the receipt with expunge receipt {made.id} --subject -") from error
    answer = Answer(made.id, RequestState.CLOSED, "corrected", made.deadline, plan.expected.rows, receipt=receipt.document)
    return answer, done.outcomes
