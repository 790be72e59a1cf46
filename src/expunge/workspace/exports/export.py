"""Export: the newest release of a model as a file, from raw columns to predictions. Nothing secret is in it."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from expunge.data.formulas import FAINT
from expunge.files import write_output
from expunge.ledger import log, releases
from expunge.workspace.exports.onnx_model import model_bytes
from expunge.workspace.exports.rules import Rules
from expunge.workspace.exports.sql import Dialect, select
from expunge.workspace.published import Published
from expunge.workspace.storage import Storage

Format = Literal["json", "sklearn", "onnx", "sql"]
FORMATS: tuple[str, ...] = get_args(Format)


@dataclass(frozen=True)
class Exported:
    """A release in a form for use elsewhere.

    Args:
        release: its number among those of the model.
        certificate: its number among all.
        content: content of the file.
    """

    release: int
    certificate: int
    content: bytes = field(repr=False)


def export(
    storage: Storage, name: str, form: Format, path: Path, *, dialect: Dialect = "duckdb", table: str = "people"
) -> None:
    """Writes the newest release of model ``name`` to ``path``; see ``exported``."""
    write_output(path, exported(storage, name, form, dialect=dialect, table=table).content)


def exported(storage: Storage, name: str, form: Format, *, dialect: Dialect = "duckdb", table: str = "people") -> Exported:
    """The newest release of model ``name`` as a file.

    Args:
        storage: the workspace.
        name: of the model.
        form: ``json`` for the reference scorer, with schema and certificate; ``sklearn`` for a pipeline in a skops file;
            ``onnx``; ``sql`` for a SELECT.
        dialect: of SQL: ``duckdb``, ``postgres`` or ``spark``.
        table: of which SQL selects.

    Raises:
        WorkspaceInvalid: no such model.
        NotWritable: an encoding that the format cannot hold; names the column and what to do.
        ImportError: the package that writes the format is not installed.
    """
    with storage.database.reading() as connection:
        published = Published.of(connection, name)
        last = releases.current(connection, name)
        bundle = log.bundle(connection, last.envelope, last.event)
    payload: dict[Format, Callable[[], bytes]] = {
        "json": lambda: document(Rules.of(storage, published), bundle),
        "sklearn": lambda: pipeline(published),
        "onnx": lambda: model_bytes(Rules.of(storage, published)),
        "sql": lambda: select(Rules.of(storage, published), dialect, table).encode(),
    }
    return Exported(last.number, last.id, payload[form]())


def document(rules: Rules, certificate: str) -> bytes:
    """The rules as JSON, which ``scorer.py`` scores by; with names, schema and certificate.

    Args:
        rules: of the model.
        certificate: its bundle, as JSON.
    """
    published, specification = rules.published, rules.published.specification
    content = {
        "model": published.model,
        "release": published.release,
        "kind": specification.kind,
        "inverse_link": rules.inverse_link,
        "target": specification.target,
        "classes": list(published.classes),
        "features": specification.features.feature_names,
        "formulas": rules.formulas,
        "faint": FAINT,
        "normalise": rules.normalise,
        "coef": published.coefficients,
        "intercept": published.intercepts,
        "offset": rules.offset,
        "intervals": specification.intervals,
        "hazards": published.hazards,
        "schema": specification.schema,
        "certificate": json.loads(certificate),
    }
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()


def pipeline(published: Published) -> bytes:
    """A scikit-learn pipeline from raw columns, as a skops file.

    Args:
        published: what it holds.
    """
    from sklearn.pipeline import Pipeline
    from skops.io import dumps

    from expunge.pipeline import SchemaEncoder

    encoder = SchemaEncoder(published.specification.schema, offset=published.specification.offset)
    return bytes(dumps(Pipeline([("encode", encoder), ("model", published.estimator)])))
