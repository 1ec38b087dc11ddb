"""Tells in CARD.md what the model is for, for whom, how its images must be taken, and what they become."""

from data.study import Modality
from models.card import Colour, InputSpec, ModelCard, Resize

_TAKING = {
    Modality.DERMOSCOPY: (
        "Dermoscopy: one lesion in the middle, whole and in focus, with some skin around it; no ruler, pen "
        "or hair over it where that can be helped."
    ),
    Modality.DIGITAL_RADIOGRAPHY: "Radiograph: one frontal view, upright, not cropped, as it was sent.",
    Modality.CT: (
        "CT: axial slices, in Hounsfield units where the device gives them, as one series; scouts, reformats "
        "and captured screens are left out by the program."
    ),
}
_RESIZE = {
    Resize.CENTRE_CROP: "scaled until the shorter side fits, the middle kept",
    Resize.SQUASH: "scaled to the rectangle, the aspect ratio not kept",
    Resize.PAD: "scaled until the longer side fits, the rest black",
}
_COLOUR = {
    Colour.RGB: "in colour (sRGB)",
    Colour.GREY: "in grey as it is displayed",
    Colour.WINDOWS: "in three windows",
    Colour.NEIGHBOURS: "with the slice before and the slice after",
}


def section(card: ModelCard) -> str:
    """Give the card's part on use as Markdown."""
    rules = card.applies_to
    parts = f" of {', '.join(rules.body_parts)}" if rules.body_parts else ""
    named = (
        f" Named by `--model {card.name}` it also takes {', '.join(rules.when_named)}; the result says so."
        if rules.when_named
        else ""
    )
    taking = [text for modality, text in _TAKING.items() if modality in rules.modalities]
    lines = [
        (
            "- Users: sites that send images (the result orders the reading, they need do nothing), "
            "specialists who read the list, operators who watch the model."
        ),
        (
            "- Not for: diagnosis, deciding on treatment, closing or hiding a study, reading or "
            "screening without a specialist, nor people and devices that the data below do not show."
        ),
        (
            f"- Takes: {', '.join(rules.modalities)}{parts}, pictures of at least {rules.min_side_px} px "
            f"on the shorter side, at most {rules.max_frames} frames a study.{named}"
        ),
        *(f"- {text}" for text in taking),
        f"- Preprocessing: {preprocessing(card.input)}.",
        (
            "- If it errs: a study that is scored too low waits as long as the policy lets a harmless one, "
            "or its doctor's priority says, and is then read; one flagged for nothing is read too early."
        ),
    ]
    return f"## Use\n\n{card.intended_use}\n\n" + "\n".join(lines)


def preprocessing(spec: InputSpec) -> str:
    """Say in a clause what becomes of a frame.

    Examples
    --------
    >>> preprocessing(InputSpec(height=192, width=192, colour=Colour.GREY, resize=Resize.SQUASH))
    'each frame in grey as it is displayed, scaled to the rectangle, the aspect ratio not kept, 192 x 192 px'
    """
    windows = "".join(f", window of centre {one.centre:g} and width {one.width:g}" for one in spec.windows)
    crop = f", the middle {100 * spec.crop:g} % of each side" if spec.crop < 1.0 else ""
    apart = f", neighbours about {spec.neighbour_mm:g} mm apart" if spec.neighbour_mm else ""
    mirror = "; mean over the frame and its mirror image" if spec.flips else ""
    return (
        f"each frame {_COLOUR[spec.colour]}{windows}{apart}, {_RESIZE[spec.resize]}{crop}, "
        f"{spec.width} x {spec.height} px{mirror}"
    )
