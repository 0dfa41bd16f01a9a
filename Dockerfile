# The commands on CPUs, in a folder of yours that is mounted as /data:
#
#   docker build --tag csgisnet .
#   docker run --rm --volume "$PWD:/data" csgisnet csgisnet predict photos --out smoothed
#
# For a GPU, build with --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu130 and run with
# --gpus all.
ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*
COPY . /source
RUN python -m pip wheel --no-deps --wheel-dir /wheels /source

FROM python:${PYTHON}-slim
# OpenCV's wheel is linked against these.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgl1 libglib2.0-0t64 libgomp1 \
    && rm -rf /var/lib/apt/lists/*
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
COPY constraints.txt /
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    python -m pip install --no-cache-dir --extra-index-url ${TORCH_INDEX} \
        --constraint /constraints.txt /wheels/*.whl
RUN useradd --create-home user
USER user
WORKDIR /data
CMD ["vocsmooth", "--help"]
