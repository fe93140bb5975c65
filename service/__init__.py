"""The gateway: photos come in by HTTP, masks and everything drawn from them go out."""
