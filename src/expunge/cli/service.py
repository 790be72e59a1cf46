"""Commands about the service: serve, and the tokens that give access to it."""

import ipaddress
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from expunge.cli.shared import HERE, REFUSED, AsJson, InWorkspace, app, console, notify, progress, show

token_app = typer.Typer(help="Tokens: who may use the service, and as what.", no_args_is_help=True)
app.add_typer(token_app, name="token")


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")] = 8000,
    tls_certificate: Annotated[Path | None, typer.Option(help="PEM file of the TLS certificate.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM file of its private key.")] = None,
    plain_http: Annotated[
        bool, typer.Option("--plain-http", help="Listen beyond this machine without TLS, behind a proxy that provides it.")
    ] = False,
    root_path: Annotated[
        str, typer.Option(help="Path under which a proxy in front offers the service, as /desk; the proxy may take it off.")
    ] = "",
    trusted_proxy: Annotated[
        list[str] | None,
        typer.Option(
            help="Address or network of a proxy in front, whose X-Forwarded-For and -Proto are believed; may be repeated."
        ),
    ] = None,
    json_log: Annotated[bool, typer.Option("--json-log", help="Write the log as one JSON object a line.")] = False,
    workspace: InWorkspace = HERE,
) -> None:
    """Serve the API under /v1 and the page at /, and work the queue every few seconds."""
    with progress("starting", as_json=False):
        import uvicorn

        from expunge.service import records
        from expunge.service.app import create_app
        from expunge.service.connections import Connections
        from expunge.service.handshakes import Server
        from expunge.workspace import Workspace

        is_secure = tls_certificate is not None and tls_key is not None
        if not (is_secure or plain_http or _is_loopback(host)):
            raise ValueError(
                f"{host} can be reached from other machines: give --tls-certificate and --tls-key, or --plain-http if a proxy "
                "in front provides TLS"
            )
        trusted = [_network(text) for text in trusted_proxy or []]
        found = Workspace.open(workspace)
        connections = Connections(trusted=trusted)
        service = create_app(found, is_secure=is_secure or plain_http, root=root_path.rstrip("/"), connections=connections)
    notify(f"serving {found.storage.path} on http{'s' if is_secure else ''}://{host}:{port}")
    how = uvicorn.Config(
        service,
        host=host,
        port=port,
        ssl_certfile=tls_certificate,
        ssl_keyfile=tls_key,
        access_log=False,
        log_config=records.configuration(as_json=json_log),
        server_header=False,
        ws="none",
        proxy_headers=bool(trusted),
        forwarded_allow_ips=",".join(map(str, trusted)),
        timeout_keep_alive=30,
        timeout_graceful_shutdown=3,  # with the worker's own time, it stops within 10 seconds
    )
    with suppress(KeyboardInterrupt):  # it has stopped as it should
        Server(how, connections).run()


@token_app.command()
def issue(
    name: Annotated[str, typer.Argument(help="Who it is for.")],
    role: Annotated[
        str,
        typer.Option(help="operator (takes requests), engineer (runs models), auditor (reads) or consumer (serves models)."),
    ],
    workspace: InWorkspace = HERE,
    as_json: AsJson = False,
) -> None:
    """Issue a token; it is shown once and kept as a hash."""
    from expunge.ledger import tokens
    from expunge.workspace.storage import Storage

    with progress("issuing", as_json), Storage(workspace).database.writing() as connection:
        token = tokens.issue(connection, name, role)
    show({"name": name, "role": role, "token": token}, as_json, lambda: typer.echo(token))


@token_app.command("list")
def list_tokens(workspace: InWorkspace = HERE, as_json: AsJson = False) -> None:
    """List the tokens, without their secrets."""
    from expunge.ledger import tokens
    from expunge.workspace.storage import Storage

    with progress("reading the ledger", as_json), Storage(workspace).database.reading() as connection:
        rows = tokens.listed(connection)
    names = ("id", "name", "role", "created", "revoked")
    result = [{name: getattr(row, name) for name in names} for row in rows]

    def text() -> None:
        table = Table(*names)
        for line in result:
            table.add_row(*(line[name] or "" for name in names))
        console.print(table)

    show(result, as_json, text)


@token_app.command()
def revoke(
    identity: Annotated[str, typer.Argument(help="Id of the token, as in expunge token list.")],
    workspace: InWorkspace = HERE,
    as_json: AsJson = False,
) -> None:
    """Revoke a token, which then gives no access."""
    from expunge.ledger import tokens
    from expunge.workspace.storage import Storage

    with progress("revoking", as_json), Storage(workspace).database.writing() as connection:
        is_revoked = tokens.revoke(connection, identity)
    message = f"{identity} is revoked" if is_revoked else f"there is no token {identity}, or it was revoked before"
    show({"token": identity, "revoked": is_revoked}, as_json, lambda: console.print(message, highlight=False))
    if not is_revoked:
        raise typer.Exit(REFUSED)


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise ValueError(f"--trusted-proxy must be an address or a network, as 10.0.0.0/24, got {text!r}") from error


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
