"""Rules: a published model as plain numbers and formulas, from raw columns to predictions; what every target writes down."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa

from expunge.data.formulas import Formula, columns_read, schema_formulas
from expunge.workspace.model_kinds import InverseLink
from expunge.workspace.published import Published
from expunge.workspace.storage import Storage


@dataclass(frozen=True)
class Rules:
    """How raw rows are predicted.

    Args:
        published: what they are of.
        formulas: of the features, ``(p,)``, before rows are normalised.
        kinds: types of the columns that are read, as the table has them.
    """

    published: Published
    formulas: tuple[Formula, ...]
    kinds: Mapping[str, pa.DataType]

    @classmethod
    def of(cls, storage: Storage, published: Published) -> "Rules":
        """The rules of a published model.

        Raises:
            NotWritable: an encoding of its schema cannot be written as formulas; names the column and what to do.
        """
        features, offset = published.specification.features, published.specification.offset
        columns = storage.table.columns
        read = [*features.columns, *([] if offset is None else [offset])]
        kinds = {name: columns.field(name).type for name in read}
        return cls(published, tuple(schema_formulas(features)), kinds)

    @property
    def offset(self) -> Formula:
        """What is added to the linear predictor beside the intercept."""
        column = self.published.specification.offset
        return 0.0 if column is None else ("number", column)

    @property
    def normalise(self) -> bool:
        """Whether the features of a row are divided by their 2-norm."""
        return self.published.specification.features.normalise

    @property
    def inverse_link(self) -> InverseLink:
        """What makes predictions of linear predictors."""
        return self.published.specification.kind.inverse_link

    @cached_property
    def numbers(self) -> list[str]:
        """Columns that are read as numbers."""
        return self._read("number")

    @cached_property
    def texts(self) -> list[str]:
        """Columns of which the value is compared as text."""
        return self._read("is")

    def _read(self, operation: str) -> list[str]:
        read = {found for formula in (*self.formulas, self.offset) for found in columns_read(formula)}
        return [name for name in self.kinds if (operation, name) in read]
