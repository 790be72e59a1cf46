"""Arrays: one code for NumPy and for every other array-API namespace (PyTorch, CuPy, …).

Rows may lie in any namespace and on any device; sums over them are made there, in float64, and come back to the host.

What comes from outside is taken for its values, whatever it is stored as: a sparse entry stored twice is a sum, what a mask
hides is not there. And it keeps to magnitudes of which no product that the sums are made of can over- or underflow unseen.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from expunge.errors import InvalidRows
from expunge.problem.filling import with_data
from expunge.problem.split import SplitMatrix

Array = NDArray[np.float64]

SMALLEST, LARGEST = 1e-60, 1e60
"""Magnitudes of whatever comes from outside and is not 0: of features, targets, weights of rows, and the penalty.

A weight times the squared norm of a row then lies between 1e-180 and 1e180 times the number of features, far from the ends of
float64 at 5e-324 and 1.8e308; what underflows beside it is charged by itself (``evaluation``). Theory §4.6."""
MODERATE = (1e-140, 1e150)
"""A norm between these is one of which no large square overflowed and no square that counts underflowed."""
DLPACK_CPU = 1
"""How DLPack numbers the host."""


def namespace(array: Any) -> Any:
    """The functions for ``array``: NumPy's for NumPy's own, for SciPy's sparse arrays and for rows in blocks."""
    if isinstance(array, np.ndarray | np.generic | SplitMatrix) or sparse.issparse(array):
        return np
    from array_api_compat import array_namespace

    return array_namespace(array)


def beside(values: Any, array: Any) -> Any:
    """Host ``values`` in float64, in the namespace and on the device of ``array``."""
    xp = namespace(array)
    if xp is np:
        return np.asarray(values, dtype=np.float64)
    return xp.asarray(values, dtype=xp.float64, device=array.device)


def host(array: Any) -> Array:
    """``array`` as NumPy's float64 on the host."""
    if namespace(array) is np:
        return np.asarray(array, dtype=np.float64)
    from array_api_compat import to_device

    near = array if array.__dlpack_device__()[0] == DLPACK_CPU else to_device(array, "cpu")
    return np.array(np.from_dlpack(near), dtype=np.float64)


def is_on_host(array: Any) -> bool:
    """Whether ``array`` is NumPy's or SciPy's, or rows in blocks."""
    return namespace(array) is np


def dense(X: Any) -> Any:
    """Rows of any kind as a dense array, where they lie."""
    return X.toarray() if sparse.issparse(X) or isinstance(X, SplitMatrix) else X


def unsplit(X: Any) -> Any:
    """Rows of any kind, those in blocks as canonical CSR."""
    return X.tocsr() if isinstance(X, SplitMatrix) else X


def squared(X: Any) -> Any:
    """Rows of any kind with every value squared."""
    if isinstance(X, SplitMatrix):
        return X.squared()
    return with_data(X, np.square(X.data)) if sparse.issparse(X) else X * X


def real(values: Any, what: str) -> Any:
    """``values`` as an array of float32 or float64: NumPy's, or one of the array-API namespace and device it comes from.

    Args:
        values: anything array-like but SciPy's sparse arrays.
        what: its name in the errors.

    Raises:
        InvalidRows: masked or missing values, texts, dates, complex numbers, or whatever else is not a number.
    """
    if _is_foreign(values):
        values = values.detach() if hasattr(values, "detach") else values  # PyTorch: a gradient is not wanted
        if str(getattr(values, "layout", "torch.strided")) != "torch.strided":
            raise InvalidRows(f"{what} is a sparse tensor: give it dense, or as a SciPy sparse array")
        xp = namespace(values)
        if values.dtype not in (xp.float32, xp.float64):
            if xp.isdtype(values.dtype, "complex floating"):
                raise InvalidRows(f"{what} holds complex numbers: give their parts as columns of their own")
            values = xp.astype(values, xp.float64)
        return values
    require_unmasked(values, what)
    try:
        array = np.asarray(values)
        texts = array.dtype.kind in "SU" or (array.dtype.kind == "O" and any(isinstance(value, str) for value in array.flat))
        if texts or array.dtype.kind not in "biufO":
            raise InvalidRows(f"{what} holds {'texts' if texts else array.dtype}, not real numbers: encode them")
        if array.dtype in (np.float32, np.float64):
            return array
        with np.errstate(over="ignore"):  # what is too large for float64 becomes infinite, and is refused with its row
            return array.astype(np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise error if isinstance(error, InvalidRows) else InvalidRows(f"{what} cannot be read as numbers: {error}") from None


def _is_foreign(values: Any) -> bool:
    """Whether ``values`` are an array of another namespace than NumPy's."""
    if isinstance(values, np.ndarray) or not (hasattr(values, "__array_namespace__") or hasattr(values, "__dlpack__")):
        return False
    from array_api_compat import is_array_api_obj

    return bool(is_array_api_obj(values))


def require_unmasked(values: Any, what: str) -> None:
    """Raises ``InvalidRows`` if some entries of ``values`` are masked: read as numbers they would be what the mask hides."""
    parts = values if isinstance(values, list | tuple) else [values]
    for row, part in enumerate(parts):
        if isinstance(part, np.ma.MaskedArray) and np.ma.is_masked(part):
            place = row if part is not values else int(np.argwhere(np.ma.getmaskarray(part))[0][0])
            raise InvalidRows(f"{what} of row {place} is masked: remove or impute it")


def canonical(X: Any, what: str) -> sparse.csr_array:
    """The values of a sparse ``X``, ``(n_rows, n_features)``, as CSR with every entry once, in order, and no zeros stored.

    Entries stored more than once are summed in the order in which ``X.toarray()`` does. ``X`` stays as it is; where it has
    this form already its arrays are shared. Float32 is kept, all else becomes float64 first.

    Raises:
        InvalidRows: not two-dimensional, complex, or a CSR matrix with impossible indices.
    """
    if X.ndim != 2:
        raise InvalidRows(f"{what} must have two dimensions (n_rows, n_features), got {X.ndim}")
    if X.dtype.kind not in "biuf":
        raise InvalidRows(f"{what} holds {X.dtype}, not real numbers: encode them")
    with np.errstate(over="ignore"):
        X = X if X.dtype in (np.float32, np.float64) else X.astype(np.float64)
    try:
        if X.format in ("csr", "csc"):
            X = X.tocsr()
            csr = sparse.csr_array((X.data, X.indices, X.indptr), shape=X.shape)  # a new one: flags may be set, and wrong
        else:
            X = X.tocoo()
            order = np.argsort(X.row, kind="stable")
            indptr = np.concatenate([[0], np.cumsum(np.bincount(X.row, minlength=X.shape[0]))])
            csr = sparse.csr_array((X.data[order], X.col[order], indptr), shape=X.shape)
        csr.check_format(full_check=True)
    except ValueError as error:
        raise InvalidRows(f"{what} is not a valid sparse matrix: {error}") from None
    with np.errstate(over="ignore", invalid="ignore"):
        if not csr.has_canonical_format:
            csr = csr.tocsc().tocsr()  # sorts, and keeps the order of equal indices
            csr.sum_duplicates()
        if not csr.data.all():
            csr = csr.copy()
            csr.eliminate_zeros()
    return csr


def is_extreme(values: Any) -> Any:
    """Mask of the ``values`` that are NaN, or neither 0 nor of a magnitude between ``SMALLEST`` and ``LARGEST``."""
    size = abs(values)
    return ~((size <= LARGEST) & ((size >= SMALLEST) | (size == 0)))


def norm(values: Array) -> float:
    """The 2-norm, of matrices the Frobenius norm, of whatever magnitude ``values`` are; ``inf`` if one is NaN or infinite."""
    with np.errstate(all="ignore"):
        size = float(np.linalg.norm(values))
        if MODERATE[0] < size < MODERATE[1]:
            return size
        top = float(np.abs(values).max(initial=0.0))
        if not math.isfinite(top):
            return math.inf
        exponent = math.frexp(top)[1]
        return float(np.ldexp(np.linalg.norm(np.ldexp(values, -exponent)), exponent)) if top > 0.0 else 0.0


def or_infinite(bound: float) -> float:
    """``bound``; ``inf``, which bounds everything, where it is NaN: comparisons with NaN are false, and would lose it."""
    return math.inf if math.isnan(bound) else bound
