# A static binary on an empty file system, for a user that is not root.

FROM golang:1.26.8-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=${VERSION}" -o /out/mcp-sidecar ./cmd/mcp-sidecar
RUN mkdir -m 0700 /out/data

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/mcp-sidecar /usr/local/bin/mcp-sidecar
COPY --from=build --chown=65532:65532 /out/data /data

# A number, so that Kubernetes can see that it is not root.
USER 65532:65532
ENV PATH=/usr/local/bin \
    MCP_SIDECAR_DATA_DIR=/data \
    MCP_SIDECAR_LISTEN=0.0.0.0:8080 \
    MCP_SIDECAR_METRICS_LISTEN=0.0.0.0:9090 \
    MCP_SIDECAR_LOG_FORMAT=json
# All that is ever written is below /data: run it with --read-only.
VOLUME /data
EXPOSE 8080 9090
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=4s --start-period=5s CMD ["mcp-sidecar", "healthcheck"]
ENTRYPOINT ["mcp-sidecar"]
CMD ["serve"]
