"""The gateway's processes: uvicorn with draining, one process or several under a supervisor."""
