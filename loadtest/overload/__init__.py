"""`make overload`: ten times as many photos as the service can answer."""
