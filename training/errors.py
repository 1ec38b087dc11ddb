"""What can be wrong with a training run, said so that the one who started it can mend it."""


class TrainingError(Exception):
    """Anything that stops a program of this room; the message is one sentence for the terminal."""


class RecipeError(TrainingError):
    """A recipe that cannot be read; names the file and the key."""


class RunError(TrainingError):
    """A run's folder that does not fit what is asked of it."""


class DatasetError(TrainingError):
    """A data set that is not where the recipe says, or does not hold what it names."""


class SavingError(TrainingError):
    """A file that could not be written; what was there before is whole."""


class ExportError(TrainingError):
    """A network whose ONNX file does not give what torch gives."""
