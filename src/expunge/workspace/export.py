"""Export: the released weights of a model, for use elsewhere. Nothing secret is in them."""

import json
from pathlib import Path
from typing import Any, Literal

import numpy as np

from expunge.files import write_output
from expunge.ledger import log, releases
from expunge.workspace.specification import Specification
from expunge.workspace.storage import Storage

Format = Literal["sklearn", "json", "onnx"]


def export(storage: Storage, name: str, form: Format, path: Path) -> None:
    """Writes the last release of model ``name`` to ``path``: skops for scikit-learn, JSON with schema and certificate, or ONNX.

    Raises:
        WorkspaceInvalid: no such model.
        ImportError: the package that writes the format is not installed.
    """
    with storage.database.reading() as connection:
        model = releases.named(connection, name)
        last = releases.current(connection, name)
        bundle = log.bundle(connection, last.envelope, last.event)
    specification = Specification.from_json(model.specification)
    objective = specification.objective
    served = specification.estimator.published(objective, np.array(last.parameters))
    names = specification.features.feature_names
    if form == "sklearn":
        from skops.io import dumps

        payload = dumps(served)
    elif form == "onnx":
        from skl2onnx import to_onnx

        options: Any = {id(served): {"zipmap": False}} if specification.classes else None
        payload = to_onnx(served, np.zeros((1, len(names)), dtype=np.float64), options=options).SerializeToString()
    else:
        content = {
            "model": name,
            "release": last.number,
            "kind": specification.kind,
            "target": specification.target,
            "classes": list(specification.classes),
            "features": names,
            "schema": specification.schema,
            "coef": np.atleast_2d(served.coef_).tolist(),
            "intercept": np.atleast_1d(served.intercept_).tolist(),
            "certificate": json.loads(bundle),
        }
        payload = (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()
    write_output(path, payload)
