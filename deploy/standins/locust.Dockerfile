# Stands in for locustio/locust where that cannot be pulled (tests/stack): the same Locust, from PyPI.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b
FROM ${PYTHON_IMAGE}
ARG LOCUST_VERSION
RUN python -m venv /opt/venv && /opt/venv/bin/pip install --no-cache-dir "locust==${LOCUST_VERSION}"
ENV PATH=/opt/venv/bin:$PATH
USER 1000:1000
EXPOSE 8089
ENTRYPOINT ["locust"]
