# The worker: TorchServe with the packed models, and Java from PyPI. From the repository's root:
#   docker build -f deploy/worker.Dockerfile -t fcnserve-worker .
#   docker build -f deploy/worker.Dockerfile -t fcnserve-worker:cuda --build-arg TORCH_BUILD=cuda .

ARG PYTHON_IMAGE=python:3.11-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b
FROM ${PYTHON_IMAGE} AS build
# cpu, or cuda for PyPI's default build; TORCH_INDEX names another package index for torch
ARG TORCH_BUILD=cpu
ARG TORCH_INDEX=
WORKDIR /opt/fcnserve
# what decides the dependencies comes first: a change of the code alone installs nothing anew
COPY pyproject.toml setup.py constraints.txt LICENSE ./
COPY deploy deploy
COPY client client
COPY service/__init__.py service/subprocesses.py service/
COPY service/worker/__init__.py service/worker/java.py service/worker/gpus.py service/worker/
RUN --mount=type=cache,target=/root/.cache/pip \
    touch README.md \
    && python deploy/install.py worker java \
    && .venv/bin/python -m pip uninstall --quiet --yes pip
COPY handlers handlers
COPY service service
COPY model_store model_store
# packed here, so that nothing is left to write when it runs
RUN export PYTHONDONTWRITEBYTECODE=1 \
    && .venv/bin/python -m compileall -q handlers service client model_store \
    && for model in model_store/*/model.yaml; do \
           .venv/bin/fcnserve model package "$(dirname "$model")" || exit 1; \
       done


FROM ${PYTHON_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=
LABEL org.opencontainers.image.title="fcnserve worker" \
      org.opencontainers.image.description="POST a photo, get its segmentation mask: TorchServe with its models" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
RUN groupadd --gid 10001 fcnserve \
    && useradd --uid 10001 --gid fcnserve --no-create-home --home-dir /tmp --shell /usr/sbin/nologin fcnserve
WORKDIR /opt/fcnserve
COPY --from=build /opt/fcnserve/.venv .venv
COPY --from=build /opt/fcnserve/LICENSE LICENSE
COPY --from=build /opt/fcnserve/deploy/torchserve deploy/torchserve
COPY --from=build /opt/fcnserve/client client
COPY --from=build /opt/fcnserve/deploy/wheel deploy/wheel
COPY --from=build /opt/fcnserve/handlers handlers
COPY --from=build /opt/fcnserve/service service
COPY --from=build /opt/fcnserve/model_store model_store
ENV PATH=/opt/fcnserve/.venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    FCNSERVE_WORKER_HOST=0.0.0.0
USER 10001:10001
# TorchServe's inference API and metrics, and the worker's own health and metrics
EXPOSE 8080 8082 8083
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=5s --start-period=300s --retries=3 \
    CMD ["python", "-m", "service.healthcheck", "worker"]
ENTRYPOINT ["fcnserve", "worker"]
