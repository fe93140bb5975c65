"""Training: photos and masks in, the weights of a model folder out. On a CPU or a GPU.

`fcnserve model train` calls `session.train`. In the order of the pipeline: `balance` draws names,
`crops` and `paste` make examples of them, `loss` scores them, `loop` takes steps as `schedule`
says, `validation` keeps the best weights, `state` lets an interrupted run go on where it was.
"""
