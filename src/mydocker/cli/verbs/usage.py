"""system df."""

from __future__ import annotations

from time import time_ns

from mydocker.cli import output, rows
from mydocker.cli.streams import tell
from mydocker.engine import listing
from mydocker.engine import usage as engine
from mydocker.errors import FAILED, InvalidArgument
from mydocker.model.options.units import human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from mydocker.cli.output import Listing, Row
    from mydocker.engine.usage import DiskUsage, Total

_KINDS: dict[str, tuple[str, Listing]] = {
    "Images": ("Images space usage:", output.IMAGES_USED),
    "Containers": ("Containers space usage:", output.CONTAINERS_USED),
    "Volumes": ("Local Volumes space usage:", output.VOLUMES_USED),
    "BuildCache": ("Build cache usage: {}", output.CACHE_USED),
}


def df(params: dict[str, Any]) -> int:
    usage, form = engine.usage(), params["format"]
    columns = output.terminal_width()
    if not params["verbose"]:
        summary = [_total(kind, total) for kind, total in usage.totals().items()]
        output.emit(output.listing(output.USAGE, summary, form, columns=columns))
    elif form and form.strip() != "table":
        output.emit(_by_template(_details(usage, trunc=False), form, columns is not None))
    else:
        details = _details(usage, trunc=True)
        cached = human_size(usage.totals()["Build Cache"].size)
        tables = [
            f"{title.format(cached)}\n\n{output.listing(kind, details[name], columns=columns)}"
            for name, (title, kind) in _KINDS.items()
        ]
        output.emit("\n".join(tables))
    return max(map(tell, usage.broken), default=0)


def _total(kind: str, total: Total) -> Row:
    share = f" ({total.reclaimable * 100 // total.size}%)" if total.size and kind != "Build Cache" else ""
    return {
        "Type": kind,
        "TotalCount": str(total.count),
        "Active": str(total.active),
        "Size": human_size(total.size),
        "Reclaimable": human_size(total.reclaimable) + share,
    }


def _details(usage: DiskUsage, trunc: bool) -> dict[str, list[Row]]:
    now = time_ns()
    names = listing.image_ids([container for container, _ in usage.containers])
    images = []
    for each in usage.images:
        row = rows.image(each.image, each.size, now, trunc)[0]
        row.update(
            SharedSize=human_size(each.shared),
            UniqueSize=human_size(each.size - each.shared),
            Containers=str(each.containers),
        )
        images.append(row)
    containers = [
        {**rows.container(container, now, trunc, names), "Size": human_size(written, 3)}
        for container, written in usage.containers
    ]
    volumes = [rows.volume(volume, str(links), human_size(size, 3)) for volume, size, links in usage.volumes]
    cache = [rows.cached(entry, now, usage.is_in_use(entry), trunc) for entry in usage.cache]
    return {"Images": images, "Containers": containers, "Volumes": volumes, "BuildCache": cache}


def _by_template(details: dict[str, list[Row]], form: str, terminal: bool) -> str:
    """Apply a template, or `json`, to all at once, as docker does with -v."""
    from mydocker.gotemplate.template import Template

    value = {kind: [output.fields_of(row) for row in each] for kind, each in details.items()}
    try:
        template = Template("{{json .}}" if form == "json" else form)
        return template.render(value, escape=output.for_terminal if terminal else None) + "\n"
    except InvalidArgument as error:
        raise InvalidArgument(
            error.message, f"the fields are {' '.join(f'.{kind}' for kind in value)}", FAILED
        ) from None
