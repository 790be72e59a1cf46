"""Extras: packages that may be left out when Expunge is installed, and what installs each."""

EXTRAS = {
    **dict.fromkeys(("typer", "rich", "securesystemslib", "cryptography", "pymerkle"), "verify"),
    **dict.fromkeys(("pyarrow", "deltalake", "duckdb", "sqlalchemy", "alembic", "psycopg", "fsspec", "openpyxl"), "workspace"),
    **dict.fromkeys(
        ("fastapi", "starlette", "uvicorn", "jinja2", "itsdangerous", "prometheus_client", "httpx", "pydantic"), "service"
    ),
    **dict.fromkeys(("distributed", "dask"), "dask"),
    **dict.fromkeys(("matplotlib",), "plot"),
    **dict.fromkeys(("skops", "skl2onnx", "onnx"), "export"),
}
"""By name of the module that is imported, the extra that brings it."""


def missing(error: ModuleNotFoundError) -> str | None:
    """What to install where a module is missing; ``None`` for one that no extra brings.

    >>> missing(ModuleNotFoundError(name="duckdb"))
    "the package duckdb is not installed: pip install 'expunge[workspace]'"
    """
    package = (error.name or "").split(".")[0]
    if package not in EXTRAS:
        return None
    return f"the package {package} is not installed: pip install 'expunge[{EXTRAS[package]}]'"
