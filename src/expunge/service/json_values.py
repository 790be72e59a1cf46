"""Any JSON value, by name: where a document may hold members that are not described one by one."""

from typing_extensions import TypeAliasType

Json = TypeAliasType("Json", "str | int | float | bool | list[Json] | dict[str, Json] | None")
"""A JSON value; a generated client gets it as a type that refers to itself, and not as one of which nothing is known."""
