"""How the door for DICOM devices goes, as the operator's figures tell it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric


@dataclass(frozen=True, slots=True)
class DicomFigures:
    """Where devices call, how many stand there now, and what was done since the start."""

    title: str
    port: int
    is_tls: bool
    is_listening: bool
    n_associations: int
    counts: Mapping[str, int]


def dicom_metrics(figures: DicomFigures) -> Iterator[Metric]:
    """Give the figures for Prometheus."""
    yield GaugeMetricFamily(
        "firstread_dicom_associations", "Associations that stand.", value=figures.n_associations
    )
    yield GaugeMetricFamily(
        "firstread_dicom_listening", "1 while devices are let in.", value=int(figures.is_listening)
    )
    done = CounterMetricFamily("firstread_dicom", "What devices did, since the start.", labels=["what"])
    for what, count in sorted(figures.counts.items()):
        done.add_metric([what], count)
    yield done
