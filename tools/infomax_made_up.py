"""A smartwatch made up, for the short versions of tools: shakes of its own pace an exercise."""

import numpy as np

from streamlearn.data import Dataset
from streamlearn.data.series import recordings


def watch(people: int = 3, exercises: int = 3, samples: int = 1500) -> Dataset:
    """Two recordings of every exercise of every person, 3 channels, called PERSON/i."""
    random = np.random.default_rng(0)
    t = np.arange(samples)[:, None] / 50
    each, y, subject = [], [], []
    for person in range(people):
        for exercise in range(exercises):
            for _ in range(2):
                pace = 2 * np.pi * (0.7 + 0.9 * exercise + 0.05 * person)
                shakes = np.sin(pace * t + random.uniform(0, 6, 3)) * (1, 0.5 + exercise / 2, 0.3)
                each.append(shakes + random.normal(0, 0.2, shakes.shape))
                y.append(exercise)
                subject.append(person + 1)
    arrays = {
        "offsets": np.arange(len(each) + 1) * samples,
        "y": np.array(y),
        "subject": np.array(subject),
    }
    return recordings("made-up", np.concatenate(each).astype(np.float32), arrays)
