# The runtime with its loop: docs/deploying.md. Needs a writable /var/lib/reconciler and nothing else.
ARG PYTHON=3.13-slim-bookworm

FROM python:${PYTHON} AS build
WORKDIR /src
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/reconciler
COPY runtime.lock ./
RUN /opt/reconciler/bin/python -m pip install --require-hashes --no-deps --requirement runtime.lock
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY schemas/ schemas/
COPY templates/ templates/
COPY bots/ bots/
COPY reconciler/ reconciler/
RUN /opt/reconciler/bin/python -m pip install --no-deps --no-build-isolation .
RUN /opt/reconciler/bin/python -m pip check && /opt/reconciler/bin/python -m pip uninstall --yes pip

FROM python:${PYTHON}
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git openssh-client \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --system --uid 10001 --user-group --home-dir /var/lib/reconciler --shell /usr/sbin/nologin reconciler \
    && install --directory --owner reconciler --group reconciler --mode 0700 /var/lib/reconciler
COPY --from=build /opt/reconciler /opt/reconciler
ENV PATH=/opt/reconciler/bin:$PATH PYTHONDONTWRITEBYTECODE=1 RECONCILER_DATA=/var/lib/reconciler
USER reconciler
WORKDIR /tmp
VOLUME /var/lib/reconciler
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/healthz', timeout=4)"]
ENTRYPOINT ["reconciler"]
CMD ["up", "--host", "0.0.0.0"]
