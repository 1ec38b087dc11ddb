"""Decode and ONNX Runtime with nothing of ours around them: the limit `firstread score` is held against.

Usage: ``python -m tests.benchmarks.bare MODEL.onnx SIDE JOBS`` with a path a line on standard input.
One process a job, each with one single-threaded session and batches of one.
"""

import multiprocessing
import sys
from collections.abc import Sequence

import numpy as np
import onnxruntime
import simplejpeg
from PIL import Image


def score(model: str, side: int, paths: Sequence[str]) -> int:
    """Score the pictures one by one and give how many there were."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    for path in paths:
        with open(path, "rb") as file:  # noqa: PTH123 - as bare as it gets
            picture = Image.fromarray(simplejpeg.decode_jpeg(file.read()))
        reduced = np.asarray(picture.resize((side, side), Image.Resampling.BILINEAR))
        session.run(None, {"image": reduced[None]})
    return len(paths)


def main() -> None:
    """Share the pictures among the processes and wait for them."""
    model, side, n_jobs = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    paths = sys.stdin.read().splitlines()
    shares = [(model, side, paths[job::n_jobs]) for job in range(n_jobs)]
    with multiprocessing.get_context("fork").Pool(n_jobs) as pool:
        print(sum(pool.starmap(score, shares)))


if __name__ == "__main__":
    main()
