"""`fcnserve model ...`: one file a command; `service/cli/main.py` mounts it.

No module here imports torch before a command runs, so that `--help` works without it.
"""

import typer

from model_store.tools.cli.check import check
from model_store.tools.cli.convert import convert
from model_store.tools.cli.list_models import list_models
from model_store.tools.cli.new import new
from model_store.tools.cli.package import package
from model_store.tools.cli.toy import toy
from model_store.tools.cli.train import train

model = typer.Typer(help="Models: one folder each, packed into an archive.", no_args_is_help=True)
model.command()(new)
model.command()(check)
model.command()(package)
model.command("list")(list_models)
model.command()(convert)
model.command()(train)
model.command()(toy)
