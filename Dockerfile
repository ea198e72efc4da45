# The images, one target a process: `npm run images`, or `docker build --target router .` without anything but Docker.
# In each there is Node, the libraries that Node names and one bundle: no shell, no package manager, no file that its
# user may change. What a process writes goes to volumes.

# Any image with Node 24 and npm on a Debian or Alpine; its libraries are those that the images get.
ARG BASE=docker.io/library/node:24-bookworm-slim

FROM --platform=$BUILDPLATFORM ${BASE} AS compile
ARG REVISION=unknown
WORKDIR /src
COPY . .
RUN npm ci --ignore-scripts && ETL_COMMIT=$REVISION npm run build router operator

# `npm run images` hands in the bundles of the clone under this name instead, and the stage above is left out.
FROM scratch AS bundles
COPY --from=compile /src/dist /

FROM ${BASE} AS system
RUN set -eu; node=$(command -v node); \
    mkdir -p /image/usr/local/bin /image/etc; \
    cp "$node" /image/usr/local/bin/node; \
    ldd "$node" | grep -o '/[^ ]*' | while read -r library; do \
      mkdir -p "/image$(dirname "$library")"; cp -L "$library" "/image$library"; \
    done; \
    echo 'etl:x:65532:65532:ETL Router:/:/nonexistent' >/image/etc/passwd; \
    echo 'etl:x:65532:' >/image/etc/group; \
    echo 'hosts: files dns' >/image/etc/nsswitch.conf

FROM scratch AS runtime
COPY --from=system /image /
COPY LICENSE /app/LICENSE
ENV PATH=/usr/local/bin NODE_ENV=production
WORKDIR /app
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/node", "/app/main.mjs"]
# Version and revision are labels that the command line gives: buildah takes a label with an argument from its cache.
LABEL org.opencontainers.image.vendor="ETL Router" \
      org.opencontainers.image.licenses="Apache-2.0"

FROM runtime AS router
COPY --from=bundles /router /app
EXPOSE 50051 50052 8080 9090
LABEL org.opencontainers.image.title="etl-router/router" \
      org.opencontainers.image.description="A member of the replicated control plane of ETL Router."

FROM runtime AS operator
COPY --from=bundles /operator /app
# With a hundred clusters a third less memory: garbage is collected rather than given room.
ENTRYPOINT ["/usr/local/bin/node", "--optimize-for-size", "--max-semi-space-size=2", "--disable-warning=DEP0040", "/app/main.mjs"]
EXPOSE 8080
LABEL org.opencontainers.image.title="etl-router/operator" \
      org.opencontainers.image.description="Runs ETL Router in Kubernetes."
