# scripts/image.sh builds it, with every argument. By hand:
#   docker build --build-arg VERSION=v1.2.3 -t headgate .
# deploy/check builds it in CI as well, where there is no engine: it runs the instructions below.

# Base images are pinned by version. By digest they would be pinned for good; whoever releases
# looks those up (docker buildx imagetools inspect NAME) and puts @sha256:… behind.
#
# Go cross-compiles, so the compiler runs on the builder's own platform.
FROM --platform=$BUILDPLATFORM golang:1.26.8-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
ARG TARGETOS TARGETARCH
ARG VERSION=dev REVISION=
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    GOOS=$TARGETOS GOARCH=$TARGETARCH scripts/build.sh /out/headgate
# What has to be writable or readable where there is no shell to make it.
RUN mkdir -p /out/tmp /out/data && chmod 1777 /out/tmp

# Nothing but the binary and the certificates of public authorities: no shell, no
# redis-server, so `redis: {url: embedded}` is not for this image.
FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/tmp /tmp
COPY --from=build --chown=65532:65532 /out/data /var/lib/headgate
COPY --from=build /src/LICENSE /
COPY --from=build /out/headgate /headgate

ARG VERSION=dev REVISION= CREATED= SOURCE=
LABEL org.opencontainers.image.title="headgate" \
      org.opencontainers.image.description="API gateway with fan-out asynchronous dispatch" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"

# A number, so that Kubernetes can tell that it is not root.
USER 65532:65532
# 8080: clients. 9090: health, metrics and Asynqmon, for operators only.
EXPOSE 8080 9090
# Whether the process answers. Whether it takes requests is /readyz: an orchestrator that restarts
# what is not ready would restart a gateway because its Redis is away.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["/headgate", "health", "-c", "/etc/headgate/headgate.yaml"]
ENTRYPOINT ["/headgate"]
CMD ["serve", "-c", "/etc/headgate/headgate.yaml"]
