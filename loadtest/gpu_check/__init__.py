"""All that a few minutes of a GPU can tell about this code, in one command: `make gpu-check`.

It installs nothing and needs no network. Modules of this package import torch, and packages beyond
the standard library, in stages only: each stage is a process (`runner`) with a time limit.
"""
