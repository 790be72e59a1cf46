"""The types in which the table keeps its columns."""

import pyarrow as pa


def stored_type(given: pa.DataType) -> pa.DataType:
    """The type in which the table keeps a column of type ``given``; what it cannot keep stays as it is.

    Whole numbers have 64 bits with a sign, times of day microseconds, exact numbers up to 38 digits; a value that needs more is
    refused when it is read.
    """
    types = pa.types
    if types.is_dictionary(given):
        return stored_type(given.value_type)
    if types.is_null(given) or types.is_large_string(given) or types.is_string_view(given):
        return pa.string()
    if types.is_large_binary(given) or types.is_binary_view(given) or types.is_fixed_size_binary(given):
        return pa.binary()
    if types.is_unsigned_integer(given):
        return pa.int64()
    if types.is_float16(given):
        return pa.float32()
    if types.is_date(given):
        return pa.date32()
    if types.is_timestamp(given):
        return pa.timestamp("us", None if given.tz is None else "UTC")
    if types.is_decimal(given):
        return pa.decimal128(min(given.precision, 38), given.scale) if given.scale <= 38 else given
    if types.is_map(given):
        return pa.map_(stored_type(given.key_type), stored_type(given.item_type))
    if types.is_struct(given):
        return pa.struct([pa.field(field.name, stored_type(field.type)) for field in given.fields])
    if types.is_list(given) or types.is_large_list(given) or types.is_fixed_size_list(given):
        return pa.list_(stored_type(given.value_type))
    return given
