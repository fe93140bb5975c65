"""A request's body in, the bytes of its images out: limits, content encodings, JSON, multipart."""
