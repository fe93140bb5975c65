"""Keeps an image that ends its worker process from ending the next one."""
