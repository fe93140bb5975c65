"""Training: labelled photos in, the weights of a model folder out. On a CPU or a GPU.

`fcnserve model train` calls `run.TrainingRun`. In the order of the pipeline: `data` samples photos
and makes batches of crops, `loss` scores them, `trainer` takes steps at the rates of `schedule`,
`validation` keeps the best weights, `checkpoint` lets an interrupted run resume.
"""
