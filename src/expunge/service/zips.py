"""Zip files of small texts, made in memory; they carry no time, so that the same texts give the same file."""

import io
import zipfile
from collections.abc import Mapping


def zipped(texts: Mapping[str, str]) -> bytes:
    """A zip file of ``texts`` by name."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in texts.items():
            archive.writestr(zipfile.ZipInfo(name), text.encode(), zipfile.ZIP_DEFLATED)
    return out.getvalue()
