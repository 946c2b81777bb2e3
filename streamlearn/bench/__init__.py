"""What `streamlearn bench` measures on the user's own machine, by name; one module each."""

from typing import Final

BENCHMARKS: Final[dict[str, str]] = {
    "kernels": "streamlearn.bench.kernels:measure",
    "ff": "streamlearn.bench.forward_forward:measure",
    "neighbours": "streamlearn.bench.neighbours:measure",
    "pipeline": "streamlearn.bench.pipeline:measure",
    "latency": "streamlearn.bench.latency:measure",
    "idle": "streamlearn.bench.idle:measure",
    "memory": "streamlearn.bench.memory:measure",
    "start": "streamlearn.bench.start:measure",
    "stop": "streamlearn.bench.stop:measure",
}
