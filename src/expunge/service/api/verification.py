"""Over HTTP, for anybody: whether files are genuine, and the public keys by which they are."""

from typing import Any

from fastapi import APIRouter, Request, Response

from expunge.errors import WorkspaceInvalid
from expunge.evidence.signing import PublicKeys
from expunge.service.api.answers import problem_responses, workspace_of
from expunge.service.bodies import FilesToVerify, VerifiedModel
from expunge.service.problem_types import Problem
from expunge.service.routing import OpenUploads
from expunge.service.verifying import Finding, GivenFile, examined

router = APIRouter(prefix="/v1", responses=problem_responses(), route_class=OpenUploads)


@router.get(
    "/keys", response_class=Response, responses={200: {"content": {"application/x-pem-file": {}}, "description": "expunge.pub"}}
)
def get_keys(request: Request) -> Response:
    """The public keys of this workspace, as the file ``expunge.pub``; anybody may have them."""
    headers = {"Content-Disposition": 'attachment; filename="expunge.pub"'}
    return Response(str(published_keys(request)), media_type="application/x-pem-file", headers=headers)


@router.post("/verify", response_model=VerifiedModel)
def verify_files(asked: FilesToVerify, request: Request) -> dict[str, Any]:
    """Whether files are genuine: certificates, receipts, transcripts, logs, checkpoints; two states of the log are compared.
    Anybody may ask. Nothing of the files is kept. Offline, ``expunge verify`` does the same."""
    keys = published_keys(request) if asked.keys is None else keys_given(asked.keys.encode())
    given = [GivenFile(file.name, file.content.encode("utf-8", "replace")) for file in asked.files]
    findings = examined(given, keys, asked.subject)
    return {
        "keys": "published" if asked.keys is None else "given",
        "right": all(found.is_right for found in findings),
        "findings": [finding_view(found) for found in findings],
    }


def published_keys(request: Request) -> PublicKeys:
    """All keys that have signed in the workspace that is served."""
    storage = workspace_of(request).storage
    with storage.database.reading() as connection:
        return storage.public_keys(connection)


def keys_given(content: bytes) -> PublicKeys:
    """The keys in a file that somebody brought.

    Raises:
        Problem: 422, it holds none.
    """
    try:
        return PublicKeys.in_file(content, "the file of keys")
    except WorkspaceInvalid as error:
        raise Problem("invalid-request", str(error)) from error


def finding_view(found: Finding) -> dict[str, Any]:
    """A finding as it is answered."""
    return {
        "files": list(found.names),
        "kind": found.kind,
        "genuine": found.is_genuine,
        "passed": list(found.passed),
        "problem": found.problem,
        "claims": dict(found.claims),
    }
