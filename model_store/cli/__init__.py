"""`fcnserve model ...`: a command a file, mounted by `service/cli.py` where `model_store` is.

Nothing here imports torch before a command runs: help is there without it.
"""

import typer

from model_store.cli.check import check
from model_store.cli.convert import convert
from model_store.cli.listing import list_models
from model_store.cli.new import new
from model_store.cli.package import package
from model_store.cli.toy import toy
from model_store.cli.train import train

model = typer.Typer(help="Models: one folder each, packed into an archive.", no_args_is_help=True)
model.command()(new)
model.command()(check)
model.command()(package)
model.command("list")(list_models)
model.command()(convert)
model.command()(train)
model.command()(toy)
