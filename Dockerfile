# docker build -t tilestep .                              for a machine without a GPU
# docker build -t tilestep --build-arg TORCH_INDEX= .     for an NVIDIA GPU: the package index's own build has CUDA
FROM python:3.12-slim

ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN pip install --no-cache-dir ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch==2.13.0

WORKDIR /opt/tilestep
COPY pyproject.toml README.md LICENSE ./
COPY package package
COPY upscaler upscaler
COPY bot bot
COPY cogs cogs
COPY migrations migrations
RUN pip install --no-cache-dir '.[bot]'

RUN useradd --create-home tilestep && install -d -o tilestep /data
USER tilestep
WORKDIR /data
ENV TILESTEP_DATA_DIR=/data TILESTEP_HTTP_HOST=0.0.0.0 TILESTEP_HTTP_PORT=8080 HF_HOME=/data/huggingface
VOLUME /data
HEALTHCHECK --interval=30s --timeout=5s --start-period=120s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/healthz', timeout=4)"]
STOPSIGNAL SIGTERM
CMD ["tilestep", "run"]
