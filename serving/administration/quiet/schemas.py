"""Quiet times as the interface speaks of them."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from serving.intake.quiet import MOST_S
from serving.store.quiet_times import QuietTime


class QuietTimeView(BaseModel):
    """A quiet time; of several that fit, that of the site and modality counts, then the site's."""

    site: str = Field(description="'*': every site.")
    modality: str = Field(description="'*': every modality.")
    seconds: int
    set_by: str = Field(description="'default' where nobody set it.")

    @classmethod
    def of(cls, quiet: QuietTime) -> Self:
        """Describe a quiet time."""
        return cls(site=quiet.site, modality=quiet.modality, seconds=quiet.seconds, set_by=quiet.set_by)


class QuietTimeList(BaseModel):
    """What is set, then the defaults."""

    quiet_times: list[QuietTimeView]


class QuietTimeRequest(BaseModel):
    """A quiet time that is to count from the next image on."""

    model_config = ConfigDict(extra="forbid")

    site: str = Field(max_length=64, description="'*': every site.")
    modality: str = Field(max_length=16, description="'*': every modality.")
    seconds: int | None = Field(ge=0, le=MOST_S, description="null: what is less near counts again.")
