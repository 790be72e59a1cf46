"""Plans: what each command is about to do, found out before anything changes. A dry run ends here; a batch carries it out."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar, Unpack

import pyarrow as pa

from expunge.data.oddities import require_declared
from expunge.data.own_columns import SUBJECT
from expunge.data.reading import UNKNOWN, Reading
from expunge.data.records import Records
from expunge.data.rejects import Rejects
from expunge.data.schema import FeatureSchema
from expunge.data.widening import TYPES, Wider, require_wider
from expunge.errors import InvalidRows, LastRows, WorkspaceInvalid
from expunge.ledger import batches, releases, requests
from expunge.ledger.batches import BatchKind
from expunge.privacy import Guarantee
from expunge.unlearning.rung import NoiseKind
from expunge.unlearning.shape import NOISE_FLOOR
from expunge.workspace import arrivals, batch, row_keys
from expunge.workspace.arrivals import (
    Arrival,
    arrival,
    expected,
    in_table,
    n_restricted,
    read_schema,
    require_apart,
    require_whole,
)
from expunge.workspace.batch import Done, Outcome
from expunge.workspace.comparison import require_same
from expunge.workspace.expectations import (
    Arriving,
    Expected,
    Fitting,
    NewKey,
    NewRowKey,
    Refitting,
    Retiring,
    Widening,
    odd_counts,
)
from expunge.workspace.model_kinds import ModelKind
from expunge.workspace.options import KEPT, How, Taking
from expunge.workspace.people import People, refused_return
from expunge.workspace.specification import Specification
from expunge.workspace.states import Notify, Work
from expunge.workspace.storage import Storage
from expunge.workspace.suppressing import listed_rows
from expunge.workspace.withheld import Forgetting

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")

E_co = TypeVar("E_co", bound=Expected, covariant=True)


@dataclass(frozen=True)
class Plan(Generic[E_co]):
    """What a command is about to do.

    Args:
        work: the work of the batch; ``None`` if there is nothing to do.
        expected: what to tell the person who gave the command; it is not published.
    """

    work: Work | None
    expected: E_co = field(repr=False)


@dataclass(frozen=True)
class Appended:
    """What became of rows from outside.

    Args:
        arrived: what to tell the person who brought the rows.
        outcomes: the new releases.
    """

    arrived: Arriving
    outcomes: list[Outcome]

    @property
    def rows(self) -> int:
        """Number of rows added."""
        return self.arrived.rows


def carried_out(storage: Storage, plan: Plan[Expected], notify: Notify) -> Done:
    """Does what is planned; the caller has the right to change the workspace."""
    for sentence in plan.expected.sentences:
        notify(sentence)
    return Done([], []) if plan.work is None else batch.run(storage, plan.work, notify)


@contextmanager
def looking(storage: Storage) -> Iterator["Plans"]:
    """Plans of commands that are not carried out: nothing changes, not even what an interrupted command left.

    Raises:
        WorkspaceInvalid: a batch was interrupted, so it is unknown what the next command would find.
    """
    with storage.database.reading() as connection:
        if batches.unfinished(connection):
            raise WorkspaceInvalid("a batch was interrupted and must be finished first: run expunge process")
    yield Plans(storage)


@contextmanager
def _or_retired(name: str) -> Iterator[None]:
    """Adds the other way out where a model has lost its last rows."""
    try:
        yield
    except LastRows as error:
        raise InvalidRows(f"{error}; or run expunge retire {name}") from error


class Plans:
    """The plan of each command on the workspace at ``storage``."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    # models

    def fit(self, name: str, target: str, how: How, *, accept_undeclared: bool = False) -> Plan[Fitting]:
        """Plans to fit a new model.

        Raises:
            InvalidRows: an unknown target, or rows that the schema does not allow for.
            ValueError: an impossible name, parameter or kind.
            WorkspaceInvalid: a model of this name exists, or existed.
        """
        if not NAME.fullmatch(name):
            raise ValueError(f"a model's name is made of lower-case letters, digits, '.', '_' and '-', got {name!r}")
        with self.storage.database.reading() as connection:
            if releases.model(connection, name) is not None:
                raise WorkspaceInvalid(f"a model {name!r} exists or existed: choose another name")
        return self._fitted(BatchKind.FIT, name, {"target": target, **how}, accept_undeclared)

    def replace(self, name: str, how: How, *, accept_undeclared: bool = False) -> Plan[Fitting]:
        """Plans to fit a model anew.

        Raises:
            InvalidRows: rows that cannot be fitted, or that the schema does not allow for.
            ValueError: an impossible parameter or kind.
            WorkspaceInvalid: there is no such model.
        """
        with _or_retired(name):
            return self._fitted(BatchKind.REPLACE, name, self._kept(name, how), accept_undeclared)

    def _kept(self, name: str, how: How) -> dict[str, Any]:
        """How a model is fitted anew: as before, where ``how`` says nothing else."""
        old = self._model(name)
        kept = {key: getattr(old, key) for key in KEPT}
        if not {"sigma", "noise", "excess_risk"} & set(how):
            kept |= {key: getattr(old, key) for key in ("sigma", "noise", "excess_risk")}
        return {**kept, "model": old.kind, **how}

    def retire(self, name: str) -> Plan[Retiring]:
        """Plans to withdraw a model.

        Raises:
            WorkspaceInvalid: there is no such model.
        """
        self._model(name)
        work = Work(BatchKind.RETIRE, models=(name,))
        with self.storage.database.reading() as connection:
            closed = Forgetting.of(connection).complete(work, [])
        return Plan(work, Retiring(name, len(closed)))

    def refit(self, name: str) -> Plan[Refitting]:
        """Plans to give a model a new anchor.

        Raises:
            WorkspaceInvalid: there is no such model.
        """
        specification = self._model(name)
        with self.storage.database.reading() as connection:
            hidden = sorted(Forgetting.of(connection).forgotten(name))
        odd = in_table(self.storage, [specification.features], hidden)
        rows = self.storage.table.count(specification.target, hidden)
        return Plan(Work(BatchKind.REFIT, models=(name,)), Refitting(name, rows, *odd_counts(odd)))

    def specified(self, how: Mapping[str, Any], schema: FeatureSchema | None = None) -> tuple[Specification, list[str]]:
        """What a fit would fix; and the people who asked to be forgotten, who are left out.

        Args:
            how: see ``How``; with the ``target``.
            schema: how rows become features. Default: as schema.toml says.

        Raises:
            InvalidRows, ValueError: as for ``fit``.
        """
        Guarantee(how.get("epsilon", 1.0), how.get("delta", 1e-6))
        schema, settings = schema or read_schema(self.storage.schema_path), self.storage.configuration
        with self.storage.database.reading() as connection:
            asked = [request.person for request in requests.asked(connection)]
        specification = Specification.of(
            self.storage.table,
            schema,
            kind=how.get("model", ModelKind.LOGISTIC),
            target=how["target"],
            penalty=how.get("penalty", 1.0),
            epsilon=how.get("epsilon", 1.0),
            delta=how.get("delta", 1e-6),
            sigma=how.get("sigma"),
            noise=how.get("noise", NoiseKind.AUTO.value),
            excess_risk=how.get("excess_risk"),
            noise_floor=how.get("noise_floor", NOISE_FLOOR),
            order=how.get("order", "auto"),
            refit_days=settings.refit_days,
            refit_requests=settings.refit_requests,
            without=asked,
            parameters=how.get("parameters", {}),
            class_weight=how.get("class_weight", {}),
            exposure=how.get("exposure"),
            offset=how.get("offset"),
            event=how.get("event"),
            intervals=how.get("intervals", ()),
        )
        return specification, asked

    def specified_again(self, name: str, how: How) -> tuple[Specification, list[str]]:
        """The same where a model is fitted anew.

        Raises:
            InvalidRows, ValueError, WorkspaceInvalid: as for ``replace``.
        """
        with _or_retired(name):
            return self.specified(self._kept(name, how))

    def _fitted(self, kind: BatchKind, name: str, how: Mapping[str, Any], accept_undeclared: bool) -> Plan[Fitting]:
        specification, asked = self.specified(how)
        odd = in_table(self.storage, [specification.features], asked)
        require_apart(self.storage, specification.features, asked)
        features = specification.features
        if not accept_undeclared and not (features.draft or features.private):  # these leave out what is rare
            require_declared(odd, self.storage.configuration.undeclared_percent)
        rows = self.storage.table.count(specification.target, asked)
        noise = specification.noise, specification.sigma, specification.excess_risk
        parameters = specification.objective.n_parameters
        seen = Fitting(name, rows, *noise, specification.classes, parameters, *odd_counts(odd))
        models = () if kind == BatchKind.FIT else (name,)
        return Plan(Work(kind, models=models, fitted=(name, specification)), seen)

    def rotate_key(self, *, is_revoked: bool) -> Plan[NewKey]:
        """Plans to change the signing key.

        Raises:
            WorkspaceInvalid: the present key cannot be used to vouch for the new one.
        """
        with self.storage.database.reading() as connection:
            return Plan(None, NewKey(self.storage.signing_key(connection).keyid, is_revoked))

    def _model(self, name: str) -> Specification:
        with self.storage.database.reading() as connection:
            return Specification.from_json(releases.named(connection, name).specification)

    # rows

    def append(
        self, data: str | Records, query: str | None = None, *, rejects: Rejects | None = None, **how: Unpack[Taking]
    ) -> Plan[Arriving]:
        """Plans to add rows.

        Args:
            data: a file, or with ``query`` the URL of a database; or rows in memory.
            how: see ``Taking``.
            rejects: where rows that cannot be taken go; without it, such a row stops the command.

        Raises:
            InvalidRows: rows that do not fit, or, unless ``returning``, rows of somebody forgotten.
        """
        found = arrival(self.storage, data, query, how.get("reading", UNKNOWN), rejects)
        with self.storage.database.reading() as connection:
            before = arrivals.added_before(connection, found.content)
            listed = listed_rows(self.storage, connection, found.rows)
            found = found.left(listed) if listed else found
            back = People(self.storage).returned(connection, found.rows)
        if before is not None:
            return Plan(None, Arriving(0, tuple(found.left_out), before))
        if listed and not len(found.rows):
            return Plan(None, Arriving(0, tuple(found.left_out), suppressed=len(listed)))
        if back is not None and not how.get("returning"):
            if rejects is None:
                raise refused_return(back, found.names)
            found, back = found.without(dict.fromkeys(back.rows, "belongs to somebody who was forgotten"), rejects), None
        odd = expected(self.storage, found, accept_undeclared=how.get("accept_undeclared", False))
        stones = () if back is None else back.tombstones
        undeclared, missing = odd_counts(odd)
        aside, out = len(rejects or ()), tuple(found.left_out)
        arriving = Arriving(
            len(found.rows), out, set_aside=aside, undeclared=undeclared, missing=missing, suppressed=len(listed)
        )
        arriving = replace(arriving, restricted=n_restricted(self.storage, found.rows))
        if not len(found.rows):
            return Plan(None, arriving)
        work = Work(BatchKind.APPEND, added=found.rows, returning=stones, content=found.content)
        return self._keyed(work, found, arriving, how)

    def _keyed(self, work: Work, found: Arrival, arriving: Arriving, how: Taking) -> Plan[Arriving]:
        """The plan for rows some of which the table may have already, by their row key."""
        keyed = row_keys.known(self.storage, found.rows, found.names)
        if keyed is None:
            return Plan(work, arriving)
        if len(keyed.changed) and not how.get("upsert"):
            raise InvalidRows(
                f"row {keyed.names[0]} has the row key of a row in the table, but different values, one of "
                f"{len(keyed.changed):,} such rows: give --upsert to put them in its place. Nothing was changed"
            )
        rows = pa.concat_tables([keyed.new, keyed.changed])
        arriving = replace(arriving, rows=len(keyed.new), known=keyed.same, replaced=len(keyed.changed))
        if not len(keyed.changed):
            return Plan(replace(work, added=rows) if len(rows) else None, arriving)
        gone, written = row_keys.replaced(self.storage, keyed, rows)
        require_whole(self.storage, keyed.old, keyed.names)
        return Plan(replace(work, kind=BatchKind.UPSERT, gone=gone, added=written), arriving)

    def widen(self, column: str, to: str) -> Plan[Widening]:
        """Plans to change the type of a column, without changing its rows.

        Raises:
            ValueError: it cannot become that type.
            InvalidRows: there is no such column, or a model would see different values.
        """
        columns = self.storage.table.columns
        if column not in columns.names:
            raise InvalidRows(f"the table has no column {column!r}: it has {', '.join(map(repr, columns.names))}")
        given = columns.field(column).type
        require_wider(column, given, to)
        wider: tuple[str, Wider] = (column, to)  # type: ignore[assignment]  # as required above
        require_same(self.storage, *wider)
        work = Work(BatchKind.WIDEN, models=(), wider=wider)
        return Plan(work, Widening(column, str(given), str(TYPES[wider[1]]), self.storage.table.count()))

    def row_key(self, columns: Sequence[str]) -> Plan[NewRowKey]:
        """Plans to declare which columns name a row.

        Raises:
            WorkspaceInvalid: there is no such column, or these columns do not identify a row.
        """
        row_keys.require_key(self.storage.table, row_keys.id_names(self.storage), columns)
        return Plan(None, NewRowKey(tuple(columns)))

    def rectify(
        self, subject: str, data: str | Records, *, reading: Reading = UNKNOWN, accept_undeclared: bool = False
    ) -> Plan[Arriving]:
        """Plans to replace a person's rows by those in a file. The row of the request is made later.

        Raises:
            RequestRefused: no rows here have this id.
            InvalidRows: rows of somebody else, or rows that do not fit.
        """
        tags = People(self.storage).one(subject)
        found = arrival(self.storage, data, None, reading)
        if not set(found.rows[SUBJECT].to_pylist()) <= set(tags):
            raise InvalidRows(f"{data} holds rows of somebody else: a correction is about one subject")
        row_keys.require_own(self.storage, found.rows, found.names, tags)
        odd = expected(self.storage, found, accept_undeclared=accept_undeclared)
        undeclared, missing = odd_counts(odd)
        arriving = Arriving(len(found.rows), tuple(found.left_out), undeclared=undeclared, missing=missing)
        arriving = replace(arriving, restricted=n_restricted(self.storage, found.rows))
        return Plan(Work(BatchKind.RECTIFY, gone=tags, added=found.rows), arriving)
