"""The client side of the API, for the commands `fcnserve segment` and `fcnserve model evaluate`."""
