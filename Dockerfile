# Builds with the development packages; what runs has neither them nor the sources.
FROM node:22-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# No package's install script has to run: bcrypt brings its compiled code along.
RUN npm ci --ignore-scripts
COPY tsconfig.json tsconfig.build.json nest-cli.json ormconfig.ts ./
COPY scripts/build.mjs scripts/digest.mjs scripts/guide.mjs scripts/
COPY src src/
# The docs site is built of these.
COPY *.md ./
COPY docs docs/
RUN npm run build
# The optional packages hold the embedded PostgreSQL; a container is given DATABASE_URL instead.
RUN npm prune --ignore-scripts --omit=dev --omit=optional

FROM node:22-bookworm-slim
ENV NODE_ENV=production \
    NODE_OPTIONS=--enable-source-maps \
    HOST=0.0.0.0 \
    PORT=3000 \
    DATA_DIR=/var/lib/latchkey
WORKDIR /app
RUN install --directory --owner=node --group=node "$DATA_DIR"
COPY --from=build /app/node_modules node_modules/
COPY --from=build /app/dist dist/
# These are served: the docs site, the version, the API document, the page of each error.
COPY --from=build /app/dist-guide dist-guide/
COPY package.json openapi.json ./
COPY docs/errors docs/errors/
# The command line: docker compose exec latchkey npx latchkey …
COPY scripts/latchkey.mjs scripts/build.mjs scripts/digest.mjs scripts/read-env.mjs scripts/require-node.cjs scripts/
# The user node by its number, by which an orchestrator can tell that it is not root.
USER 1000:1000
EXPOSE 3000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/health/ready`, { signal: AbortSignal.timeout(2500) }).then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "dist/src/main.js"]
