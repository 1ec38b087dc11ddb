"""Fuzzes one target, guided by its branches: ``python -m tests.fuzz hl7 --runs 100000 --folder /tmp/fuzz``.

What breaks it is written to the folder as ``crash-...``, and is run again by ``--again FILE``.
"""

import argparse
import sys
from pathlib import Path


def main() -> None:
    """Run libFuzzer, by Atheris."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("target")
    parser.add_argument("--runs", type=int, default=-1, help="How many inputs; -1: until it is stopped.")
    parser.add_argument("--seconds", type=int, default=0, help="For how long; 0: no limit.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, required=True, help="Corpus, crashes and what is written.")
    parser.add_argument("--again", type=Path, help="Run this one input.")
    given = parser.parse_args()

    import atheris

    with atheris.instrument_imports(include=_modules(given.target)):
        from tests.fuzz.targets import TARGETS
    target = TARGETS[given.target]
    corpus, scratch = given.folder / "corpus", given.folder / "written"
    for folder in (corpus, scratch):
        folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds):
        (corpus / f"seed-{number}").write_bytes(seed)
    if given.again is not None:
        target.take(given.again.read_bytes(), scratch)
        return
    options = [f"-runs={given.runs}", f"-seed={given.seed}", f"-max_total_time={given.seconds}"]
    options += ["-max_len=4096", "-timeout=20", "-rss_limit_mb=1024", "-print_final_stats=1", "-verbosity=1"]
    atheris.Setup(
        [sys.argv[0], *options, f"-artifact_prefix={given.folder}/", str(corpus)],
        lambda data: target.take(data, scratch),
    )
    atheris.Fuzz()


def _modules(target: str) -> list[str]:
    """Name what is instrumented; it must be known before any of it is imported."""
    return {
        "multipart": ["serving.intake.upload", "serving.dicomweb.related_upload", "python_multipart"],
        "archive": ["serving.intake.archive", "zipfile"],
        "header": ["data.dicom.files", "data.dicom.header", "data.dicom.charset"],
        "hl7": ["serving.orders", "hl7"],
    }[target]


if __name__ == "__main__":
    main()
