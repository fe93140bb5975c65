"""Maps the folders of the checkout into one package of the wheel, `fcnserve`.

`fcnserve/__init__.py` is `deploy/wheel/__init__.py`; everything else is in pyproject.toml.
Called by pip.
"""

from setuptools import find_packages, setup

FOLDERS = ("service", "handlers", "model_store")

packages = find_packages(include=[name for each in FOLDERS for name in (each, f"{each}.*")])
setup(
    packages=["fcnserve", "fcnserve.deploy.torchserve", *(f"fcnserve.{each}" for each in packages)],
    package_dir={
        "fcnserve": "deploy/wheel",
        "fcnserve.deploy.torchserve": "deploy/torchserve",
        **{f"fcnserve.{folder}": folder for folder in FOLDERS},
    },
)
