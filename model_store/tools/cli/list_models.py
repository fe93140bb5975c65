"""`fcnserve model list`."""

import json
import sys
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import model_store
from model_store.tools.cli.errors import errors_in_a_line

if TYPE_CHECKING:
    from model_store.tools.archive.listing import StoredModel

DEFAULT_STORE = Path(model_store.__file__).parent
COLUMNS = ("name", "version", "architecture", "classes", "weights", "packed", "archive")
MEGA = 1e6
# characters a line, where the output is no terminal
WIDTH = 160
TIMEOUT_S = 10.0


class ServerError(RuntimeError):
    """No server answers which models it serves."""


def list_models(
    store: Annotated[
        Path,
        typer.Argument(
            help="A folder of model folders and archives.", envvar="FCNSERVE_MODEL_STORE"
        ),
    ] = DEFAULT_STORE,
    url: Annotated[
        str,
        typer.Option(
            envvar="FCNSERVE_URL", help="A running server: show what it serves, by digest, too."
        ),
    ] = "",
    key: Annotated[
        str, typer.Option(envvar="FCNSERVE_KEY", help="API key, where the server wants one.")
    ] = "",
) -> None:
    """List the models of a store, and whether their archives are up to date."""
    from model_store.tools.archive.listing import stored_models
    from model_store.tools.archive.store import writable_store

    with errors_in_a_line():
        models = stored_models(writable_store(store))
    served, server_error = None, ""
    try:
        served = served_digests(url, key) if url else None
    except ServerError as error:
        server_error = str(error)
    print_table(models, served)
    for each in models:
        if each.problem:
            typer.echo(f"{each.name}: {each.problem}", err=True)
    if server_error:
        typer.echo(server_error, err=True)
        raise typer.Exit(1)


def served_digests(url: str, key: str) -> dict[str, str]:
    """Ask a server for its model cards: digests by model; raises ServerError."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    base_url = url if "://" in url else f"http://{url}"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        request = urllib.request.Request(f"{base_url.rstrip('/')}/v1/models", headers=headers)  # noqa: S310
        with opener.open(request, timeout=TIMEOUT_S) as answer:
            cards = json.load(answer)
        return {card["name"]: card["digest"] for card in cards}
    except (OSError, HTTPException, ValueError, KeyError, TypeError) as error:
        raise ServerError(
            f"{url} does not answer which models it serves: {error}; name a running fcnserve with "
            "--url or FCNSERVE_URL, and a key of it with --key or FCNSERVE_KEY"
        ) from error


def print_table(models: "list[StoredModel]", served: dict[str, str] | None) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in COLUMNS if served is None else (*COLUMNS, "served"):
        table.add_column(column, no_wrap=True)
    for each in models:
        more = [] if served is None else [served.get(each.name, "")]
        table.add_row(*cells(each), *more)
    Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False, markup=False).print(
        table
    )


def cells(each: "StoredModel") -> list[str]:
    if each.config is None:
        return [each.name, "", "broken: see below", "", "", "", ""]
    config = each.config
    megabytes = f"{each.weights_bytes / MEGA:.1f} MB"
    classes = str(len(config.classes))
    about = (config.version, config.architecture, classes, megabytes)
    return [each.name, *about, each.packed, each.archive_digest]
