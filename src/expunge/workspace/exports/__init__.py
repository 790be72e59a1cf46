"""Exports: a model's newest release for use elsewhere, from raw columns to predictions. Nothing secret is in them."""

from expunge.workspace.exports.export import FORMATS, Format, export
from expunge.workspace.exports.sql import DIALECTS, Dialect

__all__ = ["DIALECTS", "FORMATS", "Dialect", "Format", "export"]
