#!/bin/sh
# Checks the OpenAPI document with what its users use: Spectral, and a generated TypeScript client that knows every type.
# Usage: tools/contract.sh [python]. Needs Node; fetches the two programs from npm into .cache/contract once.
set -e
cd "$(dirname "$0")/.."
command -v npm >/dev/null || { echo "npm is not here: install Node, or leave the check to those who have it" >&2; exit 1; }
folder=.cache/contract
if [ ! -d "$folder/node_modules" ]; then
  mkdir -p "$folder"
  (cd "$folder" && npm init --yes >/dev/null && npm install --silent --no-audit --no-fund \
    openapi-typescript@7 typescript@5 @stoplight/spectral-cli@6)
fi
exec "${1:-python3}" -m pytest -q tests/service/test_contract.py
