# One image for agent, operator and command line. There is no build step: Node runs the TypeScript as it is.
#
#   docker build -t finwait .
#   docker buildx build --platform linux/amd64,linux/arm64 -t REGISTRY/finwait --push .
#
# npm settings that a network needs (registry, proxy, cafile) are given as a secret and do not stay in the image:
#
#   docker build --secret id=npmrc,src=$HOME/.npmrc -t finwait .

ARG NODE_IMAGE=docker.io/library/node:26-bookworm-slim

FROM ${NODE_IMAGE} AS packages
WORKDIR /opt/finwait
COPY package.json package-lock.json ./
# The Node is the base image's, so the one that npm brings goes again, and so does what is for compilers and readers only.
RUN --mount=type=secret,id=npmrc,target=/run/npmrc \
    --mount=type=cache,target=/var/cache/npm \
    npm ci --userconfig /run/npmrc --cache /var/cache/npm \
      --omit=dev --ignore-scripts --prefer-offline --no-audit --no-fund \
 && rm -rf node_modules/node-linux-* node_modules/.bin node_modules/bare-*/prebuilds \
 && find node_modules -type f \( -name '*.map' -o -name '*.d.ts' -o -name '*.d.mts' -o -name '*.d.cts' -o -iname '*.md' \) -delete \
 && find node_modules -type d -path '*/@opentelemetry/*/build/esnext' -prune -exec rm -rf {} +

FROM ${NODE_IMAGE}
WORKDIR /opt/finwait
COPY --from=packages /opt/finwait/node_modules node_modules
COPY package.json ./
COPY base base
COPY cli cli
COPY daemon daemon
COPY operator operator
# Compiled code, kept for both users that the programs run as (the cache is one folder for each): it halves the
# time to start, and with a read-only root nothing could be added later. Files that are entries of threads refuse
# to be loaded here, after what they import has been compiled.
ENV NODE_COMPILE_CACHE=/opt/finwait/compiled
RUN warm="import { globSync } from 'node:fs'; \
      const files = globSync('/opt/finwait/{base,cli,daemon,operator}/**/*.ts'); \
      for (const { reason } of await Promise.allSettled(files.map((file) => import(file)))) \
        if (reason?.code === 'ERR_MODULE_NOT_FOUND') throw reason;" \
 && mkdir -m 777 compiled \
 && node --input-type=module --eval "$warm" \
 && setpriv --reuid=65532 --regid=65532 --clear-groups node --input-type=module --eval "$warm" \
 && chown -R 0:0 compiled \
 && chmod 755 compiled \
 && printf '#!/bin/sh\nexec node /opt/finwait/cli/main.ts "$@"\n' > /usr/local/bin/finwait \
 && chmod 755 /usr/local/bin/finwait

LABEL org.opencontainers.image.title="finwait" \
      org.opencontainers.image.description="Finds out why TCP connections do not open, do not close, or pile up" \
      org.opencontainers.image.licenses="Apache-2.0"
# Nobody in particular; the agent's container says that it runs as root, for capabilities need that.
USER 65532:65532
# No shell in between: node is PID 1 and takes SIGTERM.
ENTRYPOINT ["node", "/opt/finwait/cli/main.ts"]
CMD ["--help"]
