# syntax=docker/dockerfile:1

# The pages' npm packages, by lock file.
FROM node:22-slim AS assets
WORKDIR /src/server/web/assets
COPY server/web/assets/ ./
RUN npm ci && npm run build

# The package and its dependencies in a virtual environment, which is copied to the same path below.
FROM python:3.12-slim AS package
WORKDIR /src
COPY pyproject.toml setup.cfg README.md LICENSE ./
COPY server/ server/
COPY backtest_server_api/ backtest_server_api/
COPY --from=assets /src/server/web/static/vendor/ server/web/static/vendor/
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir ".[serve]"

FROM python:3.12-slim
COPY --from=package /venv/ /venv/
RUN groupadd --system --gid 10001 backtest \
    && useradd --system --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin backtest \
    && install -d -o backtest -g backtest -m 0750 /data /projects
ENV PATH=/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    LEAN_DATA_FOLDER=/data
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health', timeout=4)"]
# Listens on all addresses, so it does not start without BACKTEST_SERVER_TOKEN.
ENTRYPOINT ["backtest-server"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000", "--projects", "/projects"]
