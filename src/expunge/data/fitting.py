"""Converting values that already have a type to the type of a column, without losing a digit."""

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from expunge.data.column_types import Inexact, Misfit


class WrongType(ValueError):
    """A type whose values cannot have the type wanted."""


def fitted(values: pa.Array, wanted: pa.DataType) -> pa.Array:
    """``values`` as type ``wanted``: the same numbers, the same moments; nothing is parsed.

    Raises:
        WrongType: the types are of different kinds.
        Misfit: a value would change.
    """
    if types.is_dictionary(values.type):
        values = values.dictionary_decode()
    given = values.type
    if given == wanted:
        return values
    if not _is_like(given, wanted):
        raise WrongType
    try:
        return _exact(values, wanted)
    except pa.ArrowInvalid:
        for index in range(len(values)):
            try:
                _exact(values.slice(index, 1), wanted)
            except (pa.ArrowInvalid, Misfit):
                raise (Inexact if types.is_floating(wanted) else Misfit)(index) from None
        raise WrongType from None
    except pa.ArrowNotImplementedError:
        raise WrongType from None


def _exact(values: pa.Array, wanted: pa.DataType) -> pa.Array:
    made = values.cast(wanted)
    if types.is_floating(values.type) and types.is_floating(wanted) and wanted.bit_width < values.type.bit_width:
        # Arrow loses digits here
        same = pc.or_(pc.equal(made.cast(values.type), values), pc.is_nan(values))
        if pc.all(same).as_py() is False:
            raise Inexact(pc.index(same, False).as_py())
    return made


def _is_like(given: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether values of the two types are of the same kind."""
    if types.is_null(given):
        return True
    if _is_text(given) or _is_bytes(given):
        return (_is_text(given) and _is_text(wanted)) or (_is_bytes(given) and _is_bytes(wanted))
    if types.is_integer(given):
        return bool(types.is_integer(wanted) or types.is_floating(wanted) or types.is_decimal(wanted))
    if types.is_floating(given):
        return bool(types.is_floating(wanted) or types.is_integer(wanted))
    if types.is_decimal(given):
        return bool(types.is_decimal(wanted) or types.is_integer(wanted))
    if types.is_date(given):
        return bool(types.is_date(wanted) or (types.is_timestamp(wanted) and wanted.tz is None))
    if types.is_timestamp(given):
        if types.is_timestamp(wanted):
            return (given.tz is None) == (wanted.tz is None)
        return bool(types.is_date(wanted) and given.tz is None)
    return bool(types.is_nested(given) and types.is_nested(wanted))


def _is_text(given: pa.DataType) -> bool:
    return bool(types.is_string(given) or types.is_large_string(given) or types.is_string_view(given))


def _is_bytes(given: pa.DataType) -> bool:
    tests = (types.is_binary, types.is_large_binary, types.is_binary_view, types.is_fixed_size_binary)
    return any(test(given) for test in tests)
