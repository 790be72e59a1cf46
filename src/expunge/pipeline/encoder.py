"""SchemaEncoder: a feature schema as a scikit-learn transformer, in front of any estimator. Theory §5.4."""

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags

from expunge.data.columns import column_names
from expunge.data.schema import FeatureSchema
from expunge.data.table_columns import offsets_of, with_offset
from expunge.errors import InvalidRows


class SchemaEncoder(TransformerMixin, BaseEstimator):
    """Turns raw columns into features by a declared schema; ``fit`` learns nothing, so that there is nothing to forget here.

    Args:
        schema: a ``FeatureSchema``, or its TOML as ``FeatureSchema.to_toml`` writes it.
        sparse_output: whether features come as CSR instead of a dense array. Default: ``False``.
        offset: a column that comes after the features as it is, for a model with ``offset=True``. Default: ``None``, none.

    Examples:
        >>> from expunge.data.schema import Category, FeatureSchema, Number
        >>> schema = FeatureSchema({"age": Number(0, 100), "sex": Category(("F", "M"))}, normalise=False)
        >>> encoder = SchemaEncoder(schema)
        >>> encoder.transform({"age": [50, 200], "sex": ["M", None]}).tolist()
        [[0.5, 0.0, 1.0], [1.0, 0.0, 0.0]]
        >>> encoder.get_feature_names_out().tolist()
        ['age', 'sex=F', 'sex=M']
    """

    def __init__(self, schema: FeatureSchema | str, *, sparse_output: bool = False, offset: str | None = None) -> None:
        self.schema = schema
        self.sparse_output = sparse_output
        self.offset = offset

    @property
    def features(self) -> FeatureSchema:
        """The schema.

        Raises:
            ValueError: TOML that is none.
        """
        return FeatureSchema.from_toml(self.schema) if isinstance(self.schema, str) else self.schema

    def fit(self, X: Any, y: Any = None) -> Self:
        """This transformer, as it was; the columns are looked for, and no value is looked at.

        Args:
            X: as for ``transform``.
            y: ignored.

        Raises:
            InvalidRows: a column of the schema is missing.
        """
        self._require_columns(X)
        return self

    def transform(self, X: Any) -> Any:
        """The features, ``(n_rows, n_features)``: an array, CSR, or what ``set_output`` says.

        Args:
            X: a pandas or Polars frame, a pyarrow table, or a mapping of column names to sequences.

        Raises:
            InvalidRows: a column of the schema is missing, columns differ in length, or a value does not fit; names the row.
        """
        self._require_columns(X)
        encoded: Any = self.features.encode(X).X
        if self.offset is not None:
            encoded = with_offset(encoded, offsets_of(X, self.offset))
        if self.sparse_output:
            return sparse.csr_matrix(encoded)
        return encoded.toarray() if sparse.issparse(encoded) else encoded

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """Names of the features, ``(n_features,)``: the schema alone says them, and ``offset``.

        Args:
            input_features: ignored.
        """
        return np.asarray([*self.features.feature_names, *([] if self.offset is None else [self.offset])], dtype=object)

    def _require_columns(self, X: Any) -> None:
        if isinstance(X, np.ndarray | list) or sparse.issparse(X):
            raise InvalidRows(
                "the schema knows columns by name, and X has no names: give a pandas or Polars frame or a mapping"
            )
        there = set(column_names(X))
        for name in self.features.columns:
            if name not in there:
                raise InvalidRows(f"X has no column {name!r}, which the schema declares")

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = tags.input_tags.string = True
        return tags
