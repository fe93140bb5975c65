# Stands in for locustio/locust where that cannot be pulled (tests/stack): the same Locust, from PyPI.
FROM python:3.11-slim-bookworm
ARG LOCUST_VERSION
RUN python -m venv /opt/venv && /opt/venv/bin/pip install --no-cache-dir "locust==${LOCUST_VERSION}"
ENV PATH=/opt/venv/bin:$PATH
USER 1000:1000
EXPOSE 8089
ENTRYPOINT ["locust"]
