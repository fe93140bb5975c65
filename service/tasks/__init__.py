"""asyncio tasks: work beside a block, and the early end of a block."""
