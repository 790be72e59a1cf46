"""Rows as the table holds them: pseudonyms in place of ids, a number, and a bucket."""

from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa

from expunge.data.hashed_ids import HashedId, plain_columns
from expunge.data.identities import subject_texts, texts_of
from expunge.data.own_columns import BUCKET, ROW, SUBJECT, alias_names, bucket_of
from expunge.data.pseudonyms import Identification
from expunge.data.row_numbers import rows_of
from expunge.data.stored_types import stored_type
from expunge.errors import InvalidRows


def numbered(
    batches: Iterable[pa.RecordBatch], who: Identification, columns: pa.Schema, first_row: int
) -> Iterator[pa.RecordBatch]:
    """The batches as the table holds them: pseudonyms for ids, and rows numbered from ``first_row``.

    Raises:
        InvalidRows: a subject is missing or not an id, or a column is missing or of another type; the message names the row.
    """
    row = 0
    for batch in batches:
        needed = [who.subject, *plain_columns(who.aliases), *columns.names]
        missing = [name for name in needed if name not in batch.schema.names]
        if missing:
            raise InvalidRows(f"column {missing[0]!r} is missing: the rows must have the columns of the table")
        rows = rows_of(batch, row + 1)
        tags = who.pseudonyms(subject_texts(batch[who.subject], who.subject, rows))
        others = [_alias_pseudonyms(batch, name, who, rows) for name in who.aliases]
        values = []
        for field in columns:
            try:
                values.append(batch[field.name].cast(stored_type(field.type)))
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                raise InvalidRows(
                    f"column {field.name!r} holds {batch[field.name].type} from row {rows[0]} on, where the table "
                    f"has {field.type}"
                ) from error
        own = {
            SUBJECT: pa.array(tags, pa.string()),
            ROW: pa.array(range(first_row + row, first_row + row + len(batch)), pa.int64()),
            BUCKET: pa.array([bucket_of(tag) for tag in tags], pa.int32()),
            **dict(zip(alias_names(len(others)), others, strict=True)),
        }
        yield pa.RecordBatch.from_pydict({**own, **dict(zip(columns.names, values, strict=True))})
        row += len(batch)


def _alias_pseudonyms(batch: pa.RecordBatch, name: str, who: Identification, rows: Sequence[int]) -> pa.Array:
    """Pseudonyms for the other ids in a column, or for their hashes; null where somebody has none."""
    hashed = HashedId.named(name)
    column = name if hashed is None else hashed.column
    texts = texts_of(batch[column], column, rows)
    if hashed is not None:
        texts = [None if text is None else hashed.of(text) for text in texts]
    given = [text for text in texts if text is not None]
    tags = dict(zip(given, who.pseudonyms(given, name), strict=True))
    return pa.array([None if text is None else tags[text] for text in texts], pa.string())
