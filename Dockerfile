# One image for every part of June; the command is the part's name. The command line is `cli`: docker run … june cli doctor.
# Relative paths in settings lead into /var/lib/june: mount a volume there where something must outlive the container.

FROM python:3.11-slim AS packages

# Hashes are checked, and nothing is compiled: a package without a wheel fails the build.
COPY requirements.lock /tmp/requirements.lock
RUN python -m venv --without-pip /opt/june/venv \
    && python -m pip --python /opt/june/venv install --no-cache-dir --disable-pip-version-check \
        --only-binary :all: --require-hashes -r /tmp/requirements.lock

FROM node:20-slim AS page

# LiveKit's browser client for the live page, checked by its hash.
COPY session_api/vendor.sh /page/session_api/vendor.sh
RUN /page/session_api/vendor.sh

FROM python:3.11-slim

ENV PATH=/opt/june/venv/bin:$PATH \
    PYTHONPATH=/opt/june/parts \
    # Modules come from there alone, and never from the folder with the data.
    PYTHONSAFEPATH=1 \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1

RUN useradd --system --uid 10001 --home-dir /var/lib/june --shell /usr/sbin/nologin june \
    && install --directory --owner june --group june --mode 0700 /var/lib/june

COPY --from=packages /opt/june/venv /opt/june/venv

WORKDIR /opt/june/parts
COPY schemas schemas
COPY messaging messaging
COPY runtime runtime
COPY webhook_ingress webhook_ingress
COPY worker worker
COPY session_api session_api
COPY cli cli
COPY --from=page /page/session_api/page/vendor session_api/page/vendor
RUN python -m compileall -q .

# By number, so that Kubernetes can see that it is not root.
USER 10001
WORKDIR /var/lib/june

ENTRYPOINT ["python", "-m"]
CMD ["worker"]
