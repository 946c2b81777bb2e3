# docker build -t streamlearn . && docker run -p 5555-5557:5555-5557 -p 9464:9464 -v state:/var/lib/streamlearn streamlearn
# amd64 and arm64: every dependency has wheels for both. tests/test_install.py runs the build's steps.
ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS build
ENV PIP_NO_CACHE_DIR=1
ENV NUMBA_CACHE_DIR=/var/cache/streamlearn
WORKDIR /src
COPY pyproject.toml README.md LICENSE /src/
COPY configs /src/configs
COPY streamlearn /src/streamlearn
RUN python -m venv /opt/streamlearn
RUN /opt/streamlearn/bin/pip install --no-compile .
# Image layers keep whole seconds only, and both Python and numba compare times to know stale code.
RUN find /opt/streamlearn -name '*.py' -exec touch -d @1767225600 {} + \
 && /opt/streamlearn/bin/python -m compileall -q -j 0 /opt/streamlearn/lib
COPY configs/docker.toml /etc/streamlearn/streamlearn.toml
# A daemon of its own compiles every kernel, for this kind of processor; another kind does it at its first start.
RUN /opt/streamlearn/bin/streamlearn demo --config /etc/streamlearn/streamlearn.toml --limit 200

FROM python:${PYTHON}-slim
RUN useradd --system --uid 10001 --home-dir /var/lib/streamlearn --create-home streamlearn
COPY --from=build /opt/streamlearn /opt/streamlearn
COPY --from=build --chown=10001:10001 /var/cache/streamlearn /var/cache/streamlearn
COPY --from=build /etc/streamlearn /etc/streamlearn
ENV PATH=/opt/streamlearn/bin:$PATH
ENV NUMBA_CACHE_DIR=/var/cache/streamlearn
ENV PYTHONUNBUFFERED=1
USER 10001
WORKDIR /var/lib/streamlearn
VOLUME /var/lib/streamlearn
EXPOSE 5555 5556 5557 9464
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=90s \
  CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:9464/readyz', timeout=4)"]
ENTRYPOINT ["streamlearn"]
CMD ["run", "/etc/streamlearn/streamlearn.toml"]
