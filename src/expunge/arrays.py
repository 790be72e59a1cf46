"""Arrays: one code for NumPy and for every other array-API namespace (PyTorch, CuPy, …).

Rows may lie in any namespace and on any device; sums over them are made there, in float64, and come back to the host.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Array = NDArray[np.float64]

DLPACK_CPU = 1
"""How DLPack numbers the host."""


def namespace(array: Any) -> Any:
    """The functions for ``array``: NumPy's for NumPy's own and for SciPy's sparse arrays."""
    if isinstance(array, np.ndarray | np.generic) or sparse.issparse(array):
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
    """Whether ``array`` is NumPy's or SciPy's."""
    return namespace(array) is np
