"""The command line: `fcnserve serve`, `gateway`, `worker`, `segment`, `model`, `key`."""
