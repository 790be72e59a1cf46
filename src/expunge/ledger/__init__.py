"""The ledger: requests, releases and keys in a database, and every event in an append-only Merkle log. Design §2."""
