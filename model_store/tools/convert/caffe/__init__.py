"""Caffe's binary checkpoints, `.caffemodel`: the file's bytes in, one of our networks out.

`layouts.read_network` calls `read.read_caffemodel`. `wire_format` splits messages into fields,
`net_parameter` finds layers and their numbers in them, `data_sets` has what a published network's
data layer did to photos.
"""
