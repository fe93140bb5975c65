"""Other layers for networks on a GPU, which only a measurement there can judge.

`catalogue.VARIANTS` has them by name, each as a `Blanking`: what `ExactNet` and `CudaNetwork` take.
`served` is production's own, so it is what the others are compared with.

    network = variant_network("linear")(config, folder, device)    # a CudaNetwork: prepare, scores
    net = ExactNet(plain, VARIANTS["linear"])                      # the network by itself, `masked`

All of them run on a processor, too, where operations that only CUDA has are computed by others, and
nothing is compiled. `python -m loadtest.gpu_variants` compares them. The one that wins becomes
`MASKS` in `handlers.net.exact.rewrite`, with its rewrites and layers moved there.
"""
