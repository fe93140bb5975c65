"""What `make lock` and `make lock-images` run: they write versions and digests anew."""
