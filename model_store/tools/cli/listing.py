"""`fcnserve model list`."""

import json
import sys
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import model_store
from model_store.tools.cli.errors import told_in_a_line

if TYPE_CHECKING:
    from model_store.tools.archive.listing import Listed

STORE = Path(model_store.__file__).parent
COLUMNS = ("name", "version", "architecture", "classes", "weights", "packed", "archive")
MEGA = 1e6
# of what is written into a file or a pipe
WIDTH = 160
TIMEOUT_S = 10.0


class ServerError(RuntimeError):
    """No server tells which models it serves."""


def list_models(
    store: Annotated[
        Path,
        typer.Argument(
            help="A folder of model folders and archives.", envvar="FCNSERVE_MODEL_STORE"
        ),
    ] = STORE,
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
    from model_store.tools.archive.listing import models_in

    with told_in_a_line():
        listed = models_in(store)
    served, silence = None, ""
    try:
        served = served_digests(url, key) if url else None
    except ServerError as error:
        silence = str(error)
    show(listed, served)
    for each in listed:
        if each.problem:
            typer.echo(f"{each.name}: {each.problem}", err=True)
    if silence:
        typer.echo(silence, err=True)
        raise typer.Exit(1)


def served_digests(url: str, key: str) -> dict[str, str]:
    """Ask a server for its cards: digests by model; raises ServerError."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    whole = url if "://" in url else f"http://{url}"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        request = urllib.request.Request(f"{whole.rstrip('/')}/v1/models", headers=headers)  # noqa: S310
        with opener.open(request, timeout=TIMEOUT_S) as answer:
            cards = json.load(answer)
        return {card["name"]: card["digest"] for card in cards}
    except (OSError, HTTPException, ValueError, KeyError, TypeError) as error:
        raise ServerError(
            f"{url} does not say which models it serves: {error}; name a running fcnserve with "
            "--url or FCNSERVE_URL, and a key of it with --key or FCNSERVE_KEY"
        ) from error


def show(listed: "list[Listed]", served: dict[str, str] | None) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in COLUMNS if served is None else (*COLUMNS, "served"):
        table.add_column(column, no_wrap=True)
    for each in listed:
        more = [] if served is None else [served.get(each.name, "")]
        table.add_row(*cells(each), *more)
    Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False, markup=False).print(
        table
    )


def cells(each: "Listed") -> list[str]:
    if each.config is None:
        return [each.name, "", "broken: see below", "", "", "", ""]
    config = each.config
    megabytes = f"{each.weights_bytes / MEGA:.1f} MB"
    classes = str(len(config.classes))
    told = (config.version, config.architecture, classes, megabytes, each.packed, each.contents)
    return [each.name, *told]
