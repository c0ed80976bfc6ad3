# Trains, evaluates, predicts and exports on the synthetic Pasture data set, on a CPU:
#   docker build -t foveate . && docker run --rm -v "$PWD/runs:/work/runs" foveate demo
# Checked by reading; no test builds it.
FROM python:3.11-slim
WORKDIR /work
# PyTorch's index of CPU wheels: those of PyPI bring several gigabytes of CUDA.
RUN pip install --no-cache-dir torch torchvision --index-url https://download.pytorch.org/whl/cpu
COPY pyproject.toml README.md LICENSE /src/
COPY src /src/src
RUN pip install --no-cache-dir "/src[export,weights]"
ENTRYPOINT ["foveate"]
CMD ["demo"]
