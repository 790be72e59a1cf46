"""For the reference: the arguments that a class takes over from its bases are listed with its own."""

import re
from typing import Any

import griffe

SECTION = re.compile(r"^Args:\n((?:    .*\n|\n)*)", flags=re.M)
ENTRY = re.compile(r"^    (\w+): .*\n(?:     .*\n)*", flags=re.M)


class InheritedArguments(griffe.Extension):
    """An extension of Griffe, which reads the docstrings for the site."""

    def on_package(self, *, pkg: griffe.Module, **_kwargs: Any) -> None:
        """Completes every class of a package that was read.

        Args:
            pkg: the package.
        """
        for found in _classes(pkg):
            entries = _entries(found)
            inherited = [_entries(base) for base in found.mro()]
            missing = {name: text for base in inherited for name, text in base.items() if name not in entries}
            taken = {parameter.name for parameter in found.parameters}
            text = "".join(text for name, text in missing.items() if name in taken)
            if text:
                found.docstring = griffe.Docstring(_with(_text(found), text), parent=found, lineno=1)


def _classes(module: griffe.Module) -> list[griffe.Class]:
    """The classes of a module and of those in it, bases before what stands on them."""
    found = [member for member in module.members.values() if isinstance(member, griffe.Class)]
    for inner in module.members.values():
        if isinstance(inner, griffe.Module):
            found += _classes(inner)
    return sorted(found, key=lambda one: -len(one.mro()))


def _text(found: griffe.Class) -> str:
    return f"{found.docstring.value}\n" if found.docstring else ""


def _entries(found: griffe.Class) -> dict[str, str]:
    """What the docstring says of each argument."""
    section = SECTION.search(_text(found))
    return {entry[1]: entry[0] for entry in ENTRY.finditer(section[1])} if section else {}


def _with(text: str, entries: str) -> str:
    """The docstring with more arguments: after its own, or after its first paragraph."""
    section = SECTION.search(text)
    if section is None:
        first, _, rest = text.partition("\n\n")
        return f"{first}\n\nArgs:\n{entries}\n{rest}"
    own = section[0].rstrip("\n")
    return text.replace(section[0], f"{own}\n{entries}\n")
