"""The tables of the ledger. No subject id is in any of them, nor a pseudonym of one once a request is closed.

Every row of a table made by ``_sealed`` carries a ``seal``, which only holders of the workspace's key can make (``sealing``).
"""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, LargeBinary, MetaData, Table, Text

from expunge.ledger.hidden import Hidden

metadata = MetaData()

_Whole = Integer().with_variant(BigInteger(), "postgresql")


def _table(name: str, *columns: Column[object] | Index) -> Table:
    return Table(name, metadata, *columns, sqlite_strict=True)


def _sealed(name: str, *columns: Column[object] | Index) -> Table:
    return _table(name, *columns, Column("seal", Text, nullable=False))


properties = _sealed(
    "facts",  # what is true of the workspace now, such as the next row number; the seals of its rows name it so
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

public_keys = _sealed(
    "public_keys",
    Column("keyid", Text, primary_key=True),
    Column("pem", Text, nullable=False),
    Column("since", Text, nullable=False),
    Column("until", Text),  # set when the next key takes over
    Column("endorsement", Text),  # the statement by which the previous key handed over to it
)

events = _table(
    "events",  # the leaves of the Merkle log
    Column("seq", _Whole, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("entry", Text, nullable=False),
    Column("leaf", LargeBinary, nullable=False),
)

held = _sealed(
    "held",  # events that came while a batch was worked, and follow it
    Column("id", _Whole, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("at", Text, nullable=False),
    Column("body", Text, nullable=False),
)

checkpoints = _sealed(
    "checkpoints",  # signed tree heads
    Column("size", _Whole, primary_key=True, autoincrement=False),
    Column("root", LargeBinary, nullable=False),
    Column("envelope", Text, nullable=False),
)

seals = _table(
    "seals",  # one row: the sum of all seals, and the log's size and peaks, under the workspace's key
    Column("id", _Whole, primary_key=True, autoincrement=False),
    Column("serial", _Whole, nullable=False),  # number of the transaction that wrote it
    Column("total", Text, nullable=False),
    Column("rows", _Whole, nullable=False),
    Column("size", _Whole, nullable=False),
    Column("peaks", Text, nullable=False),  # roots of the log's perfect subtrees, largest first
    Column("mac", Text, nullable=False),
)

data_files = _sealed(
    "data_files",  # the files that make up the table, and those that a batch adds or removes
    Column("path", Text, primary_key=True),
    Column("rows", _Whole, nullable=False),
    Column("size", _Whole, nullable=False),
    Column("digest", Text, nullable=False),  # SHA-256
    Column("state", Text, nullable=False),  # present, going
    Column("batch", _Whole, nullable=False),  # the batch that added or removes it
    Index("data_files_by_state", "state"),
)

batches = _sealed(
    "batches",  # what process() works on, from intent to close
    Column("id", _Whole, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),  # fit, forget, append, rectify, refit, replace, retire, upsert, widen, lift
    Column("state", Text, nullable=False),  # intent, certified, closed, abandoned
    Column("states", Text, nullable=False),  # JSON: model and number of each state file it writes
    Column("content", Text),  # keyed digest of the rows that it added, for as long as the settings say
    Column("started", Text, nullable=False),
    Column("closed", Text),
    Index("batches_open", "state"),
)

requests = _sealed(
    "requests",
    Column("id", Text, primary_key=True),
    Column("key", Text, nullable=False, unique=True),  # the caller's idempotency key
    Column("kind", Text, nullable=False),  # forget, rectify, restrict
    Column("subject", Text),  # the pseudonym in the table, while the request is open
    Column("tombstone", Text, nullable=False),  # another pseudonym, which answers "already forgotten"; empty after its term
    Column("commitment", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("state", Text, nullable=False),  # accepted, working, certified, closed… (``requests.RequestState``)
    Column("problem", Text),
    Column("attempts", _Whole, nullable=False),  # failed attempts
    Column("again", Text),  # not to be tried before then, after a failed attempt
    Column("batch", _Whole, ForeignKey("batches.id")),
    Column("received", Text, nullable=False),
    Column("deadline", Text, nullable=False),
    Column("closed", Text),
    Column("reminded", _Whole),  # days before its deadline at the last reminder: 7, 3, 1; 0 once it was said to be overdue
    Column("received_on", Text, nullable=False),  # the day on which it came; "received" is when it was entered
    Column("channel", Text),  # letter, email, form, telephone, in-person, other
    Column("first_deadline", Text),  # the deadline before it was extended
    Column("extension", Text),  # why it was extended: complexity, many
    Column("reason", Text),  # why it was refused by an officer, or withdrawn
    Column("hold", Text),  # not to be worked before then; empty once somebody works on it
    Column("lot", Text),  # the call with which it came, if that needs a second person's approval
    Column("approved_by", Text),
    Column("ground", Text),  # of a restriction: accuracy, unlawful, claims, objection
    Column("lifted", Text),  # when a restriction ended
    Index("requests_by_state", "state", "deadline"),
    Index("requests_by_state_and_time", "state", "received", "id"),
    Index("requests_by_day", "received_on"),
    Index("requests_by_end", "closed", "id"),
    Index("requests_by_deadline", "deadline", "id"),
    Index("requests_by_lot", "lot"),
    Index("requests_by_tombstone", "tombstone"),
    Index("requests_by_batch", "batch"),
    Index("requests_by_actor", "actor", "received"),
    Index("requests_by_time", "received", "id"),
)

case_files = _sealed(
    "case_files",  # what an office notes of a request; it goes with the term of the tombstone
    Column("request", Text, ForeignKey("requests.id"), primary_key=True),
    Column("reference", Text),  # the office's own
    Column("checked_by", Text),  # who checked the person's identity
    Index("case_files_by_reference", "reference"),
)

notes = _sealed(
    "notes",  # what officers wrote about a request; they go with the term of the tombstone
    Column("id", _Whole, primary_key=True, autoincrement=False),
    Column("request", Text, ForeignKey("requests.id"), nullable=False),
    Column("at", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("text", Text, nullable=False),
    Index("notes_by_request", "request"),
)

acts = _sealed(
    "acts",  # what somebody did with a request after it was received
    Column("id", _Whole, primary_key=True, autoincrement=False),
    Column("request", Text, ForeignKey("requests.id"), nullable=False),
    Column("at", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("act", Text, nullable=False),  # extended, refused, cancelled, approved, noted, lifted
    Column("reason", Text),
    Index("acts_by_request", "request"),
)

forgotten_by = _sealed(
    "forgotten_by",  # which models have forgotten the person of an open request, with which batch
    Column("request", Text, ForeignKey("requests.id"), primary_key=True),
    Column("model", Text, primary_key=True),
    Column("batch", _Whole, ForeignKey("batches.id"), nullable=False),
)

alias_tombstones = _sealed(
    "alias_tombstones",  # pseudonyms for other ids of somebody forgotten, which answer like the request's own tombstone
    Column("tombstone", Text, primary_key=True),
    Column("request", Text, ForeignKey("requests.id"), primary_key=True),
    Index("alias_tombstones_by_request", "request"),
)

models = _sealed(
    "models",
    Column("name", Text, primary_key=True),
    Column("specification", Text, nullable=False),  # JSON: kind, target, penalty, guarantee, schema
    Column("salt", Hidden, nullable=False),  # salt of the log's commitment to it: ranges and classes may come from the rows
    Column("created", Text, nullable=False),
    Column("owed_since", Text),  # the earliest deletion on which the anchor still depends
    Column("aside", Text),  # why it cannot forget now, while the others go on; for those who may see the data
    Column("again", Text),  # a model that is set aside is not tried before
    Column("retired", Text),  # when it was withdrawn for good
    Column("unreadable", Text),  # what its state file was like when it could not be read: it is tried again once that changes
)

releases = _sealed(
    "releases",
    Column("id", _Whole, primary_key=True, autoincrement=False),
    Column("model", Text, ForeignKey("models.name"), nullable=False),
    Column("number", _Whole, nullable=False),  # 1, 2, 3… of its model
    Column("batch", _Whole, ForeignKey("batches.id"), nullable=False),
    Column("event", _Whole, nullable=False),
    Column("envelope", Text, nullable=False),  # the signed public certificate
    Column("evidence", Text, nullable=False),  # Certificate.to_json(), for those who may see the data
    Column("weights", LargeBinary),  # little-endian float64; gone once somebody in it was forgotten
    Column("state_digest", Text),  # SHA-256 of the state file; None once that is gone
    Column("table_digest", Text),  # digest of the files whose rows the state holds; None once the state is gone
    Column("at", Text, nullable=False),
    Column("purged", Text),
    Index("releases_of_model", "model", "number", unique=True),
    Index("releases_by_batch", "batch"),
)

tokens = _sealed(
    "tokens",  # who may use the service; the secret itself is not kept
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),  # operator, engineer, auditor, consumer
    Column("digest", Text, nullable=False),  # SHA-256 of the secret, which has 256 random bits
    Column("created", Text, nullable=False),
    Column("revoked", Text),
)

sessions = _sealed(
    "sessions",  # who is logged in to the pages; gone once that ends
    Column("digest", Text, primary_key=True),  # SHA-256 of the session's id, which is in the cookie alone
    Column("token", Text, ForeignKey("tokens.id"), nullable=False),
    Column("started", Text, nullable=False),
    Index("sessions_by_start", "started"),
)

webhooks = _sealed(
    "webhooks",
    Column("id", Text, primary_key=True),
    Column("url", Text, nullable=False),
    Column("secret", Hidden, nullable=False),  # signs deliveries
    Column("created", Text, nullable=False),
)

deliveries = _sealed(
    "deliveries",  # what webhooks are told, and how it went
    Column("id", _Whole, primary_key=True, autoincrement=False),
    Column("webhook", Text, ForeignKey("webhooks.id", ondelete="CASCADE"), nullable=False),
    Column("event", Text, nullable=False),  # what happened
    Column("body", Text, nullable=False),  # JSON: the notice as it is sent
    Column("queued", Text, nullable=False),
    Column("attempts", _Whole, nullable=False),
    Column("due", Text),  # None once it has arrived, or was given up
    Column("outcome", Text),
    Index("deliveries_due", "due"),
    Index("deliveries_of_webhook", "webhook", "id"),
)

answers = _sealed(
    "answers",  # what a call with an idempotency key was answered, so that its repetition is answered the same
    Column("key", Text, primary_key=True),  # keyed hash of the key
    Column("body", Text, nullable=False),  # keyed hash of what was asked
    Column("content", Text, nullable=False),  # JSON: the answers without their receipts, which can be made again
    Column("at", Text, nullable=False),
    Index("answers_by_time", "at"),
)

suppression_lists = _sealed(
    "suppression_lists",  # lists of hashed ids of people whose later rows are left out
    Column("name", Text, primary_key=True),
    Column("column", Text, nullable=False),  # the hashed alias that it is about
    Column("imported", Text, nullable=False),  # when it was last added to
    Column("actor", Text),  # who did that: id of a token, or local
    Column("matched", _Whole),  # number of requests made because of it
    Column("applied", Text),  # when rows that came were last compared with it
)

suppressions = _sealed(
    "suppressions",  # one entry of such a list
    Column("tombstone", Text, primary_key=True),  # keyed hash of a keyed hash of the listed hash
    Column("list", Text, ForeignKey("suppression_lists.name"), primary_key=True),
    Index("suppressions_of_list", "list"),
)

jobs = _sealed(
    "jobs",  # long work that somebody asked the service for; rows and ids of people that it needs are in no ledger
    Column("id", _Whole, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),  # fit, refit, retire, append, rectify, audit, examine
    Column("model", Text),
    Column("wanted", Text, nullable=False),  # JSON: how it is to be done
    Column("state", Text, nullable=False),  # queued, running, done, failed, cancelled
    Column("actor", Text, nullable=False),  # id of the token of whoever asked
    Column("instance", Text, nullable=False),  # that took it; what a job needs besides may be in its memory
    Column("asked", Text, nullable=False),
    Column("started", Text),
    Column("ended", Text),
    Column("progress", Text),
    Column("result", Text),  # JSON
    Column("cause", Text),  # of a failure
    Column("problem", Text),
    Index("jobs_by_state", "state", "id"),
    Index("jobs_by_kind", "kind", "id"),
)

instances = _sealed(
    "instances",  # processes of the service that share this ledger
    Column("id", Text, primary_key=True),
    Column("host", Text, nullable=False),
    Column("version", Text, nullable=False),  # of expunge
    Column("started", Text, nullable=False),
    Column("seen", Text, nullable=False),
)

pulls = _sealed(
    "pulls",  # which release was fetched with which token
    Column("release", _Whole, ForeignKey("releases.id"), primary_key=True, autoincrement=False),
    Column("token", Text, ForeignKey("tokens.id"), primary_key=True),
    Column("first", Text, nullable=False),
    Column("last", Text, nullable=False),
)
