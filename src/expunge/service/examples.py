"""Examples of what the API takes and gives, made from the descriptions, so that there is one for everything."""

import re
from collections.abc import Mapping
from typing import Any

HOUR = "2026-11-28T10:00:00+00:00"
DIGEST = "3a714f477daca14f4ba09bd0088ca39a8b42cdae77e3ea97de13e74bbacfdf44"
NAMED: dict[str, object] = {
    "subject": "17",
    "subjects": ["17", "18"],
    "by": "email",
    "request": "r-c0cafb1d63730f636fd2",
    "id": "r-c0cafb1d63730f636fd2",
    "receipt": '{"envelope": "…", "expunge": "receipt"}',
    "model": "churn",
    "name": "churn",
    "target": "churn",
    "payload": "e30=",
    "webhook": "w-5f0c1a2b3c4d",
    "url": "https://example.org/expunge",
    "token": "5f0c1a2b3c4d5e6f",
    "deadline": "2026-12-28T10:00:00+00:00",
    "keyid": DIGEST,
    "commitment": DIGEST,
    "root": DIGEST,
    "message": "accepted; to be closed by 2026-12-28",
    "rows": 1,
    "certificate": 7,
    "release": 3,
    "seq": 24,
    "text": "…",
}
"""Values of members by their name, where they are of its type."""
TIMES = {"at", "received", "closed", "created", "since", "queued", "due", "last_round", "working_since", "first", "last", "day"}
"""Members that hold a time."""
TYPES: dict[type, tuple[str, ...]] = {
    str: ("string",),
    bool: ("boolean",),
    int: ("integer", "number"),
    float: ("number",),
    list: ("array",),
    dict: ("object",),
    type(None): ("null",),
}
DEEPEST = 8


def example(schema: Mapping[str, Any], schemas: Mapping[str, Any], name: str = "", depth: int = 0) -> Any:
    """A value that ``schema`` describes.

    Args:
        schema: a JSON schema.
        schemas: those that it may refer to.
        name: of the member whose value it is.
        depth: of the value within the whole.
    """
    if "$ref" in schema:
        return example(schemas[schema["$ref"].rsplit("/", 1)[1]], schemas, name, depth)
    for given in (schema.get("examples", []), schema.get("enum", []), [schema["const"]] if "const" in schema else []):
        if given:
            return given[0]
    if "example" in schema:
        return schema["example"]
    choices = [choice for kind in ("anyOf", "oneOf") for choice in schema.get(kind, [])]
    if choices:
        plain = [choice for choice in choices if choice.get("type") not in ("null", "array", "object") and "$ref" not in choice]
        best = plain if depth > DEEPEST else [choice for choice in choices if choice.get("type") != "null"]
        return example((best or choices)[0], schemas, name, depth + 1)
    kind = schema.get("type")
    if name in NAMED and kind in TYPES[type(NAMED[name])] and re.search(schema.get("pattern", ""), str(NAMED[name])):
        return NAMED[name]
    if kind == "object":
        return _object(schema, schemas, depth)
    if kind == "array":
        least = max(1, schema.get("minItems", 0)) if depth <= DEEPEST else 0
        parts = schema.get("prefixItems", [schema.get("items", {})] * least)
        return [example(part, schemas, name.removesuffix("s"), depth + 1) for part in parts]
    return _plain(schema, name)


def _object(schema: Mapping[str, Any], schemas: Mapping[str, Any], depth: int) -> dict[str, Any]:
    members = {name: example(part, schemas, name, depth + 1) for name, part in schema.get("properties", {}).items()}
    others = schema.get("additionalProperties")
    if isinstance(others, Mapping) and others and not members:
        names = schema.get("propertyNames", {})
        key = example(names, schemas, "", depth + 1) if names else "age"
        members[str(key)] = example(others, schemas, "", depth + 1)
    return members


def _plain(schema: Mapping[str, Any], name: str) -> Any:
    kind = schema.get("type")
    if kind in ("integer", "number"):
        least = schema.get("minimum", schema.get("exclusiveMinimum", 0))
        most = schema.get("maximum", schema.get("exclusiveMaximum", least + 2))
        return int(min(least + 1, most)) if kind == "integer" else float((least + most) / 2)
    if kind == "boolean":
        return bool(schema.get("default", False))
    if kind == "string":
        if name in TIMES or schema.get("format") == "date-time":
            return HOUR
        if schema.get("format") == "date":
            return HOUR[:10]
        return "…" if "pattern" not in schema else "a1"
    return None
