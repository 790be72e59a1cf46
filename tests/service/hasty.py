"""``expunge serve`` whose minutes are seconds, for tests that break things: ``python -m tests.service.hasty WS PORT``."""

import sys

import uvicorn

from expunge.ledger import database
from expunge.service import deliveries, records, worker
from expunge.service.app import create_app
from expunge.workspace import Workspace

if __name__ == "__main__":
    worker.LATE, worker.LONGEST_WAIT, worker.FIRST_WAIT_OF_A_BUG = 2.0, 1.0, 1.0
    database.WAIT = 1.0
    deliveries.FIRST_RETRY, deliveries.PAUSE = 0.5, 0.5
    folder, port = sys.argv[1:]
    uvicorn.run(
        create_app(Workspace.open(folder), every=0.2),
        port=int(port),
        access_log=False,
        log_config=records.configuration(as_json=True),
        timeout_graceful_shutdown=3,
    )
