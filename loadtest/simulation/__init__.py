"""`make simulate`: many workers and many gateways in virtual time, with the real dispatcher."""
