"""Wheels without content, in place of packages from an index."""

from pathlib import Path
from zipfile import ZipFile

WHEEL = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def write_wheel(folder: Path, name: str, version: str) -> Path:
    """Write a wheel that pip installs; returns its path."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    with ZipFile(path, "w") as packed:
        packed.writestr(f"{name}-{version}.dist-info/METADATA", metadata)
        packed.writestr(f"{name}-{version}.dist-info/WHEEL", WHEEL)
        packed.writestr(f"{name}-{version}.dist-info/RECORD", "")
    return path
