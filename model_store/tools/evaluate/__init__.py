"""Evaluation: labelled photos and a predictor (a model in this process, a server) in, scores out.

`fcnserve model evaluate` calls `run.evaluate`. In the order of the pipeline: `predict` gives
labels, `confusion` counts them against the masks, `scores` computes figures from the counts,
`report`, `matrix` and `sheet` write them to files.
"""
