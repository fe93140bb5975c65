"""`make bench`: four ways to batch photos of mixed sizes, and the service around ours."""
