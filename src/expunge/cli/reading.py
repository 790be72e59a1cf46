"""The options that tell a command that reads a file of rows how the file is written."""

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from expunge.data.dialect import NULL_WORDS, Reading

FILE = "File of rows (.csv, .tsv, .txt, also with .gz; .xlsx; .parquet) or a folder of Parquet files"
DATA = f"{FILE}; with --query, the URL of a database."
PANEL = "How the file is written (detected and shown unless given)"


def _option(*names: str, text: str) -> Any:
    return typer.Option(*names, help=text, rich_help_panel=PANEL)


_OPTIONS: dict[str, Any] = {
    "delimiter": Annotated[str | None, _option("--delimiter", text="Character between cells; tab for a tab.")],
    "encoding": Annotated[str | None, _option("--encoding", text="Encoding of the text: cp1252, utf-16 … Default: UTF-8.")],
    "heading": Annotated[bool | None, _option("--heading/--no-heading", text="Whether the first row names the columns.")],
    "sheet": Annotated[str | None, _option("--sheet", text="Sheet of an Excel file that has several.")],
    "decimal": Annotated[str | None, _option("--decimal", text="Decimal mark of numbers: a point or a comma.")],
    "thousands": Annotated[str | None, _option("--thousands", text="Mark between groups of three digits. Default: none.")],
    "null_word": Annotated[
        list[str] | None,
        _option(
            "--null-word",
            text=f"A cell that means a missing value, as empty ones do; may be repeated. Default: {', '.join(NULL_WORDS)}.",
        ),
    ],
    "date_format": Annotated[str | None, _option("--date-format", text="Of dates, such as %d.%m.%Y, besides 2024-02-29.")],
}


def reads_files(command: Callable[..., None]) -> Callable[..., None]:
    """Gives ``command`` the options above, which reach it as one ``reading``."""

    @functools.wraps(command)
    def with_options(**given: Any) -> None:
        options = {name: given.pop(name) for name in _OPTIONS}
        words = options.pop("null_word")
        if options["delimiter"] in ("tab", "\\t"):
            options["delimiter"] = "\t"
        command(**given, reading=Reading(**options, null_words=tuple(words) if words else None))

    signature = inspect.signature(command)
    own = [parameter for name, parameter in signature.parameters.items() if name != "reading"]
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        for name, kind in _OPTIONS.items()
    ]
    with_options.__signature__ = signature.replace(parameters=[*own, *added])  # type: ignore[attr-defined]
    with_options.__annotations__ = {**{p.name: p.annotation for p in (*own, *added)}, "return": None}
    return with_options
