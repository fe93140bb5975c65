"""`fcnserve`: `serve` runs everything; `gateway` and `worker` run one subservice each.

Containers run the same `gateway` and `worker` as `serve` does. Modules that are slow to import, or
not installed in every image, are imported when a command needs them. The console script
`fcnserve` calls `main`.
"""

from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from typing import Annotated

import typer

from service.cli.segment import segment

app = typer.Typer(
    help="POST a photo, get its segmentation mask.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},  # its commands inherit them
)
app.command()(segment)
# the gateway's image has no model_store
if all(map(find_spec, ("model_store", "model_store.tools", "model_store.tools.cli"))):
    models = import_module("model_store.tools.cli").model
    models.command()(import_module("service.cli.evaluate").evaluate)
    app.add_typer(models, name="model")


def print_version(*, requested: bool) -> None:
    if requested:
        typer.echo(f"fcnserve {version('fcnserve')}")
        raise typer.Exit


@app.callback()
def fcnserve(
    *,
    _version: Annotated[
        bool,
        typer.Option("--version", callback=print_version, is_eager=True, help="Print the release."),
    ] = False,
) -> None:
    """POST a photo, get its segmentation mask."""


@app.command()
def serve(
    port: Annotated[
        int | None, typer.Option(help="Port to listen on; FCNSERVE_PORT or 8000 unless given.")
    ] = None,
) -> None:
    """Run worker and gateway on this machine, until Ctrl-C or SIGTERM."""
    from service.all_in_one.run import serve as run

    raise typer.Exit(run(port))


@app.command()
def gateway() -> None:
    """Run the gateway: HTTP in, HTTP out. Settings come from FCNSERVE_* variables."""
    from service.server.run import run

    raise typer.Exit(run())


@app.command()
def worker() -> None:
    """Pack models whose archives are stale, and run TorchServe with them."""
    from service.worker.run import run

    raise typer.Exit(run())


@app.command()
def key(
    name: Annotated[
        str | None, typer.Argument(help="Its name in the log; its hash unless given.")
    ] = None,
) -> None:
    """Make an API key: it is printed once, and below it its line for FCNSERVE_API_KEYS_FILE.

    Explanations go to standard error, so that a script reads the two lines alone.
    """
    from service.auth.keys import KeysFileError, make_key

    try:
        secret, made = make_key(name)
    except KeysFileError as error:
        raise typer.BadParameter("names have letters, digits and . _ @ -, up to 64") from error
    typer.echo("the key, which clients send and which is shown only once:", err=True)
    typer.echo(secret)
    typer.echo("its line for the file that FCNSERVE_API_KEYS_FILE names:", err=True)
    typer.echo(made.line)


def main() -> None:
    """Run the command line; a wrong setting or a missing extra is reported in a line, without a
    traceback.
    """
    try:
        app()
    except ValueError as error:
        if not (problems := wrong_settings(error)):
            raise
        for problem in problems:
            typer.echo(problem, err=True)
        raise SystemExit(2) from error
    except ModuleNotFoundError as error:
        from service.worker.command import missing_extra

        if (reason := missing_extra(error)) is None:
            raise
        typer.echo(reason, err=True)
        raise SystemExit(1) from error


def wrong_settings(error: ValueError) -> list[str]:
    """Describe each wrong variable; empty for an error that is not about settings."""
    from pydantic import ValidationError

    from service.auth.keys import KeysFileError
    from service.tracing.collector import TracingError

    if isinstance(error, (KeysFileError, TracingError)):
        return [str(error)]
    if not isinstance(error, ValidationError) or error.title != "Settings":
        return []
    return [
        f"FCNSERVE_{'.'.join(map(str, each['loc'])).upper()}={each['input']}: "
        f"{each['msg']}; see docs/settings.md"
        if each["loc"]
        else each["msg"].removeprefix("Value error, ")  # of several together, or of a name
        for each in error.errors()
    ]


if __name__ == "__main__":
    main()
