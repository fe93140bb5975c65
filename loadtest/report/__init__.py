"""How results are written: Markdown, JSON, and the machine they were measured on."""
