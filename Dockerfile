# docker build --build-arg VERSION=$(git describe --tags --always) -t headgate .

FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
ARG VERSION=dev
ENV CGO_ENABLED=0 GOCACHE=/cache
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/cache \
    go build -trimpath -ldflags "-s -w -X headgate/internal/cli.version=${VERSION}" -o /out/headgate . \
 && mkdir -p /out/tmp /out/data && chmod 1777 /out/tmp

# Nothing but the binary and the certificates of public authorities: no shell, no
# redis-server, so `redis: {url: embedded}` is not for this image.
FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/tmp /tmp
COPY --from=build --chown=65532:65532 /out/data /var/lib/headgate
COPY --from=build /out/headgate /headgate

ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="headgate" \
      org.opencontainers.image.description="API gateway with fan-out asynchronous dispatch" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

# A number, so that Kubernetes can tell that it is not root.
USER 65532:65532
# 8080: clients. 9090: health, metrics and Asynqmon, for operators only.
EXPOSE 8080 9090
ENTRYPOINT ["/headgate"]
CMD ["serve", "-c", "/etc/headgate/headgate.yaml"]
