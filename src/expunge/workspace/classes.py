"""Classes of a classifier: those that the schema declares for the target, or else those in the rows."""

from collections.abc import Collection

from expunge.data.columns import label
from expunge.data.encoding import Category, Encoding, OrderedCategory
from expunge.data.table import SubjectTable
from expunge.errors import InvalidRows, LastRows

CLASSES = 100
"""More different targets than this are not classes."""


def classes_of(table: SubjectTable, target: str, declared: Encoding | None, without: Collection[str]) -> tuple[str, ...]:
    """The classes as declared, or else as found in the rows, in the order of their texts.

    Args:
        table: the rows.
        target: column of the classes.
        declared: how the schema declares it.
        without: pseudonyms of people whose rows are left out.

    Raises:
        InvalidRows: classes that are not declared, or declared ones without rows, or too many.
        LastRows: there are less than two.
    """
    if isinstance(declared, Category | OrderedCategory):
        found = _labels(table.distinct(target, len(declared.values) + CLASSES, without))
        if unknown := set(found) - set(declared.values):
            raise InvalidRows(
                f"column {target!r} holds classes that schema.toml does not declare, {len(unknown)} in all (a draft leaves out "
                "those of fewer than ten people): declare them, merge them with others, or leave out their rows"
            )
        if len(declared.values) < 2:
            raise LastRows(f"schema.toml declares 1 class of column {target!r}: a classifier needs at least 2")
        if empty := [value for value in declared.values if value not in found]:
            raise InvalidRows(
                f"there is no row whose {target} is {empty[0]}, a class in schema.toml, and a classifier needs rows of every "
                "class: take it out of schema.toml, and try again"
            )
        return tuple(sorted(declared.values))
    values = table.distinct(target, CLASSES + 1, without)
    if len(values) < 2:
        raise LastRows(f"column {target!r} holds {len(values)} class: a classifier needs at least 2")
    if len(values) > CLASSES:
        raise InvalidRows(f"column {target!r} holds over {CLASSES} different values: choose a regression")
    return _labels(values)


def _labels(values: list[object]) -> tuple[str, ...]:
    return tuple(text for value in values if (text := label(value)) is not None)
