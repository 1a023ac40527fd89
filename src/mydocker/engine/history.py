"""history: the steps that made an image."""

from __future__ import annotations

from mydocker.image import lookup, sizes, store
from mydocker.model.options.times import parse_rfc3339
from mydocker.record import record

MISSING = "<missing>"


@record
class Step:
    """A step of an image's history. image_id: the image's of the last step; MISSING of others. created: RFC 3339, or
    "". size: bytes of the layer that it made."""

    image_id: str
    created: str
    created_by: str
    comment: str
    size: int


def history(reference: str) -> list[Step]:
    """Return an image's steps, the newest first. Raises CorruptRecord if they have more layers than the image."""
    image = lookup.find(reference, make=False)
    layers = iter(sizes.of_layers(image))
    steps: list[Step] = []
    try:
        for row in image.config.get("history") or []:
            created = str(row.get("created") or "")
            if created:
                parse_rfc3339(created)
            size = 0 if row.get("empty_layer") else next(layers)
            created_by, comment = (str(row.get(key) or "") for key in ("created_by", "comment"))
            steps.append(Step(MISSING, created, created_by, comment, size))
    except StopIteration:
        raise store.corrupt(store.blob(image.id), "its history has more layers than the image") from None
    except (AttributeError, ValueError) as error:
        raise store.corrupt(store.blob(image.id), f"its history is malformed: {error}") from None
    if steps:
        steps[-1].image_id = image.id
    return steps[::-1]
