"""Masks a second over HTTP: `foveate serve` beside a bare loop without HTTP, LitServe and Gradio.

    python benchmarks/serve_ratio.py [--rounds N] [--threads N] [--requests N] [--json FILE]

All run one exported file in ONNX Runtime with the same threads, on the same JPEG files of 480x360: decode, normalise, run,
argmax, PNG. The bare loop does it in this process, one picture after the other; it is what serving costs nothing would be.
Servers are processes of their own on this machine, so that clients and servers share its cores; pictures go as base64 in JSON
to all of them. Four clients ask at once for the rate, one client alone for the time of a request. LitServe and Gradio take part
where they are installed (pip install litserve gradio). All answers are compared before anything is timed.
"""

from __future__ import annotations

import base64
import contextlib
import importlib.util
import io
import os
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

from common import SEED, Contender, Report, Target, arguments, compare, interleave, publish
from fcn_latency import HEIGHT, WIDTH, Answer, export_shipped, fcn, settle

import httpx  # isort: skip
import numpy as np
import torch
from PIL import Image

from foveate.datasets.pasture import Pasture
from foveate.records import Preprocessing

PICTURES, CLIENTS = 8, 4
BARE, OURS, LITSERVE, GRADIO = "bare loop, no HTTP", "foveate serve", "LitServe", "Gradio"
# Least share of the bare loop's rate, of the peers' rates; and of the time of one request, with its milliseconds beside.
RATE, LITSERVE_RATE, GRADIO_RATE, SLOWER, BESIDE = 0.85, 1.0, 1.5, 1.10, 5.0

# The work of every contender but ours, as one would write it; the peers' processes import it from a file.
LOOP = """
import io
import numpy as np
import onnxruntime as ort
from PIL import Image

MEAN, STD = (np.array(v, np.float32).reshape(3, 1, 1) for v in (MEANS, STDS))


class Loop:
    def __init__(self, file, threads):
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.session = ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])

    def __call__(self, data):
        pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        image = (pixels.transpose(2, 0, 1).astype(np.float32) / 255 - MEAN) / STD
        (logits,) = self.session.run(["logits"], {"image": image[None]})
        out = io.BytesIO()
        Image.fromarray(logits[0].argmax(0).astype(np.uint8)).save(out, format="PNG")
        return out.getvalue()
"""
LITSERVE_SERVER = """
import base64, sys
import litserve
from loop import Loop

class Api(litserve.LitAPI):
    def setup(self, device):
        self.loop = Loop(sys.argv[1], int(sys.argv[2]))
    def decode_request(self, request):
        return base64.b64decode(request["image"])
    def predict(self, data):
        return self.loop(data)
    def encode_response(self, png):
        return {"mask": base64.b64encode(png).decode()}

if __name__ == "__main__":
    server = litserve.LitServer(Api(), accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=int(sys.argv[3]), generate_client_file=False)
"""
GRADIO_SERVER = """
import base64, sys
import gradio
from loop import Loop

loop = Loop(sys.argv[1], int(sys.argv[2]))
answer = lambda text: base64.b64encode(loop(base64.b64decode(text))).decode()
gradio.Interface(answer, "text", "text", api_name="predict").launch(server_name="127.0.0.1", server_port=int(sys.argv[3]))
"""

Ask = Callable[[bytes], bytes]  # a picture's bytes -> the mask's


def write_pictures() -> list[bytes]:
    """JPEG files in memory."""
    scenes = Pasture(height=HEIGHT, width=WIDTH, test=PICTURES).open("test")
    files = []
    for index in range(PICTURES):
        file = io.BytesIO()
        Image.fromarray(scenes[index]["image"].permute(1, 2, 0).numpy()).save(file, format="JPEG", quality=95)
        files.append(file.getvalue())
    return files


def bare(folder: Path, file: Path, threads: int, preprocessing: Preprocessing) -> Ask:
    """The loop in this process. preprocessing: the model's."""
    code = LOOP.replace("MEANS", str(preprocessing.mean)).replace("STDS", str(preprocessing.std))
    (folder / "loop.py").write_text(code)
    spec = importlib.util.spec_from_file_location("loop", folder / "loop.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    loop: Ask = module.Loop(str(file), threads)
    return loop


@contextlib.contextmanager
def running(command: Sequence[str], folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that is stopped at the end."""
    with subprocess.Popen(
        [sys.executable, *command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.terminate()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def wait_for(url: str, seconds: float = 600) -> None:
    """Wait until an address answers with 200."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(url, timeout=5).status_code == 200:
                return
        time.sleep(0.2)
    raise SystemExit(f"{url} does not answer")


def asking(url: str) -> Ask:
    """A client that posts base64 in JSON, over one connection."""
    client = httpx.Client(timeout=120)

    def ask(data: bytes) -> bytes:
        answer = client.post(url, json={"image": base64.b64encode(data).decode()})
        answer.raise_for_status()
        return base64.b64decode(answer.json()["mask"])

    return ask


def asking_gradio(url: str) -> Ask:
    """Gradio's own client."""
    from gradio_client import Client

    client = Client(url, verbose=False)

    def ask(data: bytes) -> bytes:
        return base64.b64decode(client.predict(base64.b64encode(data).decode(), api_name="/predict"))

    return ask


def rate(clients: Sequence[Ask], pictures: Sequence[bytes], requests: int) -> Contender:
    """Requests a second of several clients at once."""

    def one(number: int) -> None:
        for turn in range(requests):
            clients[number](pictures[(number + turn) % len(pictures)])

    def run() -> float:
        begin = time.perf_counter()
        with ThreadPoolExecutor(len(clients)) as threads:
            list(threads.map(one, range(len(clients))))
        return len(clients) * requests / (time.perf_counter() - begin)

    return run


def typical(ask: Ask, pictures: Sequence[bytes], requests: int) -> Contender:
    """The median time of a request, in seconds, of one client alone."""

    def run() -> float:
        times = []
        for turn in range(requests):
            begin = time.perf_counter()
            ask(pictures[turn % len(pictures)])
            times.append(time.perf_counter() - begin)
        return median(times)

    return run


def labels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


def main() -> None:
    parser = arguments(__doc__ or "", rounds=5)
    parser.add_argument("--requests", type=int, default=16, help="requests of each client in a round (default 16)")
    args = parser.parse_args()
    torch.manual_seed(SEED)
    torch.set_num_threads(args.threads)
    pictures = write_pictures()
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        network = Answer(fcn(8), lambda output: output.logits)
        settle(network, (HEIGHT, WIDTH))
        file = export_shipped(network, folder)
        loop = bare(folder, file, args.threads, network.network.preprocessing)
        makers: dict[str, Callable[[], Ask]] = {}
        words = ["-m", "foveate", "serve", str(file), "--port", "0", "--threads", str(args.threads)]
        process = stack.enter_context(running(words, folder))
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        wait_for(f"{url}/readyz")
        makers[OURS] = lambda: asking(f"{url}/v1/predict")
        notes = []
        for peer, module, code, path in (
            (LITSERVE, "litserve", LITSERVE_SERVER, "/predict"),
            (GRADIO, "gradio", GRADIO_SERVER, ""),
        ):
            if importlib.util.find_spec(module) is None:
                notes.append(f"{peer} is not installed, and did not take part")
                continue
            (folder / f"{module}_server.py").write_text(textwrap.dedent(code))
            port = free_port()
            stack.enter_context(running([f"{module}_server.py", str(file), str(args.threads), str(port)], folder))
            wait_for(f"http://127.0.0.1:{port}/health" if path else f"http://127.0.0.1:{port}/")
            address = f"http://127.0.0.1:{port}{path}"
            makers[peer] = (lambda a=address: asking(a)) if path else (lambda a=address: asking_gradio(a))
        for peer, make in makers.items():
            for picture in pictures:
                same = float((labels(make()(picture)) == labels(loop(picture))).mean())
                assert same > 0.999, f"{peer} answers {same:.4f} of the pixels as the loop does"
        rates = {BARE: rate([loop], pictures, CLIENTS * args.requests)}
        times = {BARE: typical(loop, pictures, args.requests)}
        for peer, make in makers.items():
            rates[peer] = rate([make() for _ in range(CLIENTS)], pictures, args.requests)
            times[peer] = typical(make(), pictures, args.requests)
        many = compare(
            f"{CLIENTS} clients at once", "masks/s", interleave(rates, args.rounds), BARE, higher_is_better=True
        )
        single = compare("One client", "ms a request", interleave(times, args.rounds), BARE, scale=1e3)
    ours = many.row(OURS).relative
    beside = single.row(OURS).median - SLOWER * single.row(BARE).median
    targets = [
        Target(f"masks/s of {OURS}, of the bare loop's, at least {RATE}", ours, ours >= RATE),
        Target(f"ms of a request beyond {SLOWER} of the bare loop's, at most {BESIDE:g}", beside, beside <= BESIDE),
    ]
    for peer, least in ((LITSERVE, LITSERVE_RATE), (GRADIO, GRADIO_RATE)):
        if peer in makers:
            ratio = ours / many.row(peer).relative
            targets.append(Target(f"masks/s of {OURS}, of {peer}'s, at least {least:g}", ratio, ratio >= least))
    settings = {"pictures": PICTURES, "size": [HEIGHT, WIDTH], "clients": CLIENTS, "requests": args.requests}
    publish(Report("serve_ratio", settings, [many, single], targets, notes), args.json)


if __name__ == "__main__":
    main()
