"""Single measurements that the docs quote."""
