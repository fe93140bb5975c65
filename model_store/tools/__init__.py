"""Tools for model folders: create, convert, train, evaluate, check, pack.

Imports go in one direction: cli -> check -> create -> weights; cli -> train -> {weights, evaluate};
weights -> convert -> {archive, dataset}; evaluate -> {archive, dataset}. `service/cli` calls `cli`,
and `service/worker/archives.py` calls `archive`.
"""
