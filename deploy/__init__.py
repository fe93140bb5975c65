"""What puts fcnserve on a machine: the installer, and the configuration of what runs beside it."""
