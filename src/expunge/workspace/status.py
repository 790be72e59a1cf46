"""Status: where everything stands, from the ledger alone, so that it is quick whatever the table's size."""

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

from expunge.ledger import releases, requests, tombstones
from expunge.ledger.properties import read_property
from expunge.ledger.restores import Restored
from expunge.workspace import drafts
from expunge.workspace.forgetting import PURPOSE
from expunge.workspace.storage import Storage

SHOWN = 20
"""Open requests that are listed; all are counted."""


def status(storage: Storage) -> dict[str, Any]:
    """Requests by state with their deadlines, models with their last release, and what still depends on those forgotten.

    Times are ISO 8601 in UTC; ``still_derived`` lists what was derived from forgotten rows, and when it goes: the anchors of
    models, and what of a draft schema fewer than ten people share since, which goes when somebody corrects it.
    """
    now = datetime.now(UTC)
    with storage.database.reading() as connection:
        counts = requests.counts(connection)
        waiting = requests.open_requests(connection, SHOWN)
        few, kept = drafts.noted(storage, connection), tombstones.kept(connection)
        unfinished = [row.id for row in requests.unfinished(connection)]
        rows, restored = int(read_property(connection, "rows") or 0), Restored.last(connection)
        models = []
        for model in releases.all_models(connection):
            last = releases.current(connection, model.name)
            evidence = json.loads(last.evidence)
            specification = json.loads(model.specification)
            due = None
            if model.owed_since is not None:
                since = date.fromisoformat(evidence["since"])
                if restored is not None and not restored.is_before(last):
                    since = restored.since(since, specification["refit_days"])
                due = (since + timedelta(days=specification["refit_days"])).isoformat()
            models.append(
                {
                    "name": model.name,
                    "kind": specification["kind"],
                    "target": specification["target"],
                    "release": last.number,
                    "certificate": last.id,
                    "at": last.at,
                    "rung": evidence["rung"],
                    "epsilon": evidence["epsilon"],
                    "delta": evidence["delta"],
                    "epsilon_total": evidence["epsilon_total"],
                    "distance_bound": evidence["distance_bound"],
                    "remaining": evidence["remaining"],
                    "refit_due": due,
                    "aside": model.aside,
                }
            )
    return {
        "workspace": str(storage.path),
        "rows": rows,
        "requests": {state: counts.get(state, 0) for state in (*requests.OPEN, "closed", "returned", "cancelled", "refused")},
        "open": [
            {
                "request": row.id,
                "kind": row.kind,
                "state": row.state,
                "received": row.received,
                "deadline": row.deadline,
                "days_left": (datetime.fromisoformat(row.deadline) - now).days,
                "problem": row.problem,
            }
            for row in waiting
        ],
        "models": models,
        "still_derived": [
            *({"what": f"the anchor of {model['name']}", "goes": model["refit_due"]} for model in models if model["refit_due"]),
            *(
                {"what": f"{'schema.toml' if name is None else f'the schema of {name}'} (values: {n})", "goes": None}
                for name, n in few
            ),
        ],
        "tombstones": {
            "why": PURPOSE,
            "people": kept.people,
            "other_ids": kept.aliases,
            "first_goes": _after(kept.first, storage.configuration.tombstone_days),
            "last_goes": _after(kept.last, storage.configuration.tombstone_days),
        },
        "unfinished_batches": unfinished,
        "is_anchored": bool(storage.configuration.anchor),
    }


def _after(closed: str | None, days: int) -> str | None:
    return None if closed is None else (datetime.fromisoformat(closed) + timedelta(days=days)).isoformat()
