# One image for every service and for the operator: `docker build -t exchange-platform:0.1.0 .`, or
# `buildah bud --layers -t exchange-platform:0.1.0 .`
#
# It runs as user 10001 and writes to /tmp and /data only, so that its root file system can be read-only:
#
#   docker run --rm --read-only --tmpfs /tmp -v exchange:/data -p 127.0.0.1:3001:3001 exchange-platform:0.1.0 \
#       local --demo --host 0.0.0.0
#
# Behind a package mirror: --build-arg PIP_INDEX_URL=…. One that wants a password or has a certificate of its own:
# --secret id=pip.conf,src=… --secret id=ca.pem,src=… where pip.conf says `cert = /run/secrets/ca.pem`; neither is left
# in the image.
#
# Everything is a wheel that somebody built before, so no stage has a compiler. On arm64 faust-streaming has none:
# --build-arg PIP_ONLY_BINARY=:none: --build-arg BUILD_PACKAGES="gcc libc6-dev python3-dev".

FROM docker.io/library/debian:12-slim AS python
RUN apt-get update \
 && apt-get install --yes --no-install-recommends python3 ca-certificates \
 && apt-get clean \
 && rm -rf /var/lib/apt/lists/* /var/log/apt /var/log/*.log /var/cache/debconf/*-old


FROM python AS dependencies
ARG BUILD_PACKAGES=""
RUN apt-get update && apt-get install --yes --no-install-recommends python3-venv binutils ${BUILD_PACKAGES}
RUN python3 -m venv /opt/exchange
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_TRUSTED_HOST
ARG PIP_ONLY_BINARY=:all:
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
COPY requirements.lock /src/
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf --mount=type=secret,id=ca.pem,target=/run/secrets/ca.pem \
    /opt/exchange/bin/pip install --no-compile --require-hashes --requirement /src/requirements.lock


# Made smaller by a third: what the lock has for the next stage only, tests, debug symbols, and what botocore knows about
# Amazon's 430 other services (backups want S3, and logins). Hashes that nothing checks stand for the sources' times,
# which builders change: nothing is ever compiled again.
FROM dependencies AS installed
RUN /opt/exchange/bin/pip uninstall --quiet --yes setuptools pip \
 && cd /opt/exchange/lib/python3*/site-packages \
 && find . -type d -name tests -prune -exec rm -rf {} + \
 && find botocore/data -mindepth 1 -maxdepth 1 -type d \
        ! -name s3 ! -name sts ! -name 'sso*' ! -name signin -exec rm -rf {} + \
 && find . -name '*.so*' -type f -exec strip --strip-debug {} + \
 && python3 -m compileall -q -f -j 0 --invalidation-mode unchecked-hash .


FROM dependencies AS project
COPY pyproject.toml README.md LICENSE /src/
COPY schema /src/schema
COPY services /src/services
COPY operator /src/operator
RUN /opt/exchange/bin/pip install --no-compile --no-index --no-deps --no-build-isolation --root /project /src \
 && python3 -m compileall -q -f -j 0 --invalidation-mode unchecked-hash -s /project /project/opt/exchange/lib


# The code is a layer of its own: a new version of it is a few megabytes to fetch.
FROM python
RUN groupadd --gid 10001 exchange \
 && useradd --uid 10001 --gid 10001 --home-dir /data --no-create-home --shell /usr/sbin/nologin exchange \
 && install --directory --owner 10001 --group 10001 --mode 0750 /data \
 && rm -f /etc/passwd- /etc/group- /etc/shadow- /etc/gshadow- /var/log/lastlog /var/log/faillog
COPY --from=installed /opt/exchange /opt/exchange
COPY --from=project /project/ /
ENV PATH=/opt/exchange/bin:/usr/local/bin:/usr/bin:/bin PYTHONDONTWRITEBYTECODE=1
ARG VERSION=""
ARG REVISION=""
LABEL org.opencontainers.image.title="exchange-platform" \
      org.opencontainers.image.description="A spot exchange that runs itself: every service, and the operator" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
WORKDIR /data
USER 10001:10001
STOPSIGNAL SIGTERM
ENTRYPOINT ["exchange"]
CMD ["--help"]
