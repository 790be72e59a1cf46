"""Writes what follows from the API's contract: ``python -m tools.contract``.

That is the types of answers in ``expunge.client.answers``, a file for each tag, and the table of problems in docs/service.md.
"""

import keyword
import subprocess
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from expunge.service import api, webhooks
from expunge.service.contract import TAGS, describe, operation_id
from expunge.service.problem_types import TYPES

ROOT = Path(__file__).parents[1]
ANSWERS = ROOT / "src/expunge/client/answers"
SERVICE = ROOT / "docs/service.md"
BEGIN, END = "<!-- problems: made by python -m tools.contract -->\n", "<!-- end of problems -->\n"
PLAIN = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}
JSON = "Json"
Schemas = Mapping[str, Any]


def document() -> dict[str, Any]:
    """The OpenAPI document, without a workspace."""
    app = FastAPI(title="Expunge", version="0", generate_unique_id_function=operation_id)
    routers = (*api.routers, webhooks.router)
    for router in routers:
        app.include_router(router)
    describe(app, routers, "")
    return app.openapi()


def answers(described: Mapping[str, Any]) -> dict[str, str]:
    """The files of types, by name."""
    schemas = described["components"]["schemas"]
    owner: dict[str, str] = {}
    for tag in TAGS:
        for operation in _operations(described, tag):
            for status, response in operation["responses"].items():
                for content in response.get("content", {}).values() if status.startswith("2") else ():
                    for name in _reached(content.get("schema", {}), schemas):
                        owner.setdefault(name, tag)
    return {
        tag: _file(tag, [name for name in sorted(schemas) if owner.get(name) == tag], owner, schemas)
        for tag in TAGS
        if tag in owner.values()
    }


def problems() -> str:
    """The table of problems."""
    lines = ["| type | status | what happened | what to do |", "| --- | --- | --- | --- |"]
    lines += [f"| `/problems/{kind.name}` | {kind.status} | {kind.title} | {kind.remedy} |" for kind in TYPES.values()]
    return "\n".join(lines) + "\n"


def documented(page: str) -> str:
    """The page of the service with the present table."""
    before, _begin, rest = page.partition(BEGIN)
    _old, _end, after = rest.partition(END)
    return before + BEGIN + problems() + END + after


def formatted(source: str) -> str:
    """A file of types as ruff writes it."""
    command = [sys.executable, "-m", "ruff"]
    for step in (["check", "--quiet", "--fix", "--select", "I"], ["format", "--quiet"]):
        run = subprocess.run([*command, *step, "-"], input=source, capture_output=True, text=True, check=True, cwd=ROOT)
        source = run.stdout
    return source


def _operations(described: Mapping[str, Any], tag: str) -> Iterator[Mapping[str, Any]]:
    for methods in described["paths"].values():
        for operation in methods.values():
            if tag in operation["tags"]:
                yield operation


def _named(part: Any) -> Iterator[str]:
    """The names of the schemas that ``part`` itself refers to."""
    if isinstance(part, dict) and "$ref" in part and not part["$ref"].endswith(f"/{JSON}"):
        yield part["$ref"].rsplit("/", 1)[1]
    for inner in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from _named(inner)


def _reached(part: Any, schemas: Schemas) -> Iterator[str]:
    """Those, and the names that these refer to."""
    for name in _named(part):
        yield from _reached(schemas[name], schemas)
        yield name


def _file(tag: str, names: Iterable[str], owner: Mapping[str, str], schemas: Schemas) -> str:
    names = sorted(names, key=lambda name: ("enum" not in schemas[name], name))
    used = [other for name in names for other in _named(schemas[name])]
    foreign: dict[str, set[str]] = {}
    for name in used:
        if owner[name] != tag:
            foreign.setdefault(owner[name], set()).add(_name(name))
    body = "\n\n".join(_type(name, schemas[name]) for name in names)
    typing = [word for word in ("Literal", "NotRequired", "TypedDict") if word in body]
    head = [f'"""Answers about {tag}, made by ``python -m tools.contract``."""', "", "from __future__ import annotations", ""]
    head += [f"from typing import {', '.join(typing)}", ""] if typing else []
    head += ["from expunge.client.json_values import Json"] if "Json" in body else []
    head += [f"from expunge.client.answers.{tag} import {', '.join(sorted(listed))}" for tag, listed in sorted(foreign.items())]
    return "\n".join(head) + "\n\n\n" + body + "\n"


def _name(name: str) -> str:
    return name.removesuffix("Model") or name


def _type(name: str, schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return f"{_name(name)} = Literal[{', '.join(map(repr, schema['enum']))}]\n"
    said = textwrap.fill(" ".join(schema.get("description", "").split()), 116, subsequent_indent="    ").replace("\\", "\\\\")
    required = schema.get("required", [])
    members = {
        member: _annotation(part) if member in required else f"NotRequired[{_annotation(part)}]"
        for member, part in schema.get("properties", {}).items()
    }
    if any(keyword.iskeyword(member) or not member.isidentifier() for member in members):
        listed = ", ".join(f'"{member}": "{written}"' for member, written in members.items())
        return f'{_name(name)} = TypedDict("{_name(name)}", {{{listed}}})\n"""{said}"""\n'
    lines = [f"    {member}: {written}" for member, written in members.items()]
    return "\n".join([f"class {_name(name)}(TypedDict):", f'    """{said}"""', "", *lines, ""])


def _annotation(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        return _name(schema["$ref"].rsplit("/", 1)[1])
    for kind in ("anyOf", "oneOf", "allOf"):
        if kind in schema:
            return " | ".join(dict.fromkeys(map(_annotation, schema[kind])))
    if "const" in schema or "enum" in schema:
        return f"Literal[{', '.join(map(repr, schema.get('enum', [schema.get('const')])))}]"
    if schema.get("type") == "array":
        return f"list[{_annotation(schema['items'])}]"
    if schema.get("type") == "object":
        return f"dict[str, {_annotation(schema['additionalProperties'])}]"
    return PLAIN[schema["type"]]


def main() -> None:
    """Writes the files."""
    ANSWERS.mkdir(exist_ok=True, parents=True)
    for tag, text in answers(document()).items():
        (ANSWERS / f"{tag}.py").write_text(formatted(text))
    SERVICE.write_text(documented(SERVICE.read_text()))


if __name__ == "__main__":
    main()
