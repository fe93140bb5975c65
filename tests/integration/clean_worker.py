"""Runs an unzipped archive as TorchServe does, in a Python without this project's other code.

    python clean_worker.py PHOTO    with PYTHONPATH and cwd the unzipped folder

Writes the mask to standard output; standard error gets the answer's headers and every imported
file, as JSON.
"""

import json
import sys
from pathlib import Path
from types import SimpleNamespace


class Context:
    """The part of TorchServe's context that the handler uses."""

    def __init__(self, folder: Path) -> None:
        self.manifest = json.loads((folder / "MAR-INF" / "MANIFEST.json").read_text())
        self.system_properties = {"model_dir": str(folder), "gpu_id": None}
        self.headers: dict[str, str] = {}

    def get_request_header(self, index: int, name: str) -> str | None:
        return None

    def set_response_content_type(self, index: int, value: str) -> None:
        self.headers["Content-Type"] = value

    def set_response_header(self, index: int, name: str, value: str) -> None:
        self.headers[name] = value


def main() -> None:
    import entry  # type: ignore[import-not-found]  # of the archive

    classes = [value for value in vars(entry).values() if isinstance(value, type)]
    ours = [kind for kind in classes if kind.__module__ == "entry"]
    context = Context(Path.cwd())
    handler = ours[0]()
    handler.initialize(context)
    (body,) = handler.handle([{"body": bytearray(Path(sys.argv[1]).read_bytes())}], context)
    modules = {
        name: str(module.__file__)
        for name, module in sys.modules.items()
        if getattr(module, "__file__", None)
    }
    report = SimpleNamespace(headers=context.headers, classes=len(ours), modules=modules)
    sys.stdout.buffer.write(body)
    sys.stderr.write(json.dumps(vars(report)))


if __name__ == "__main__":
    main()
