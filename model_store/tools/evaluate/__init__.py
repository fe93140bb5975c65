"""Evaluation: a model (in this process, or behind a server) and photos with masks in, scores out.

`fcnserve model evaluate` calls `run.evaluate`. In the order of the pipeline: `predict` gives
labels, `confusion` counts them against the masks, `scores` makes figures of the counts, `report`,
`matrix` and `sheet` write them down.
"""
