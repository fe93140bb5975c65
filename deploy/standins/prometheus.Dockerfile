# Stands in for prom/prometheus where that cannot be pulled (tests/stack): Debian's build, older,
# with the same paths, user and flags.
FROM python:3.11-slim-bookworm
RUN apt-get update \
    && apt-get install --yes --no-install-recommends prometheus \
    && rm -rf /var/lib/apt/lists/* /etc/prometheus \
    && mkdir /etc/prometheus /prometheus \
    && chown nobody:nogroup /prometheus
USER 65534:65534
VOLUME /prometheus
EXPOSE 9090
ENTRYPOINT ["prometheus"]
CMD ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]
