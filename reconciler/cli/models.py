"""`models`: the table of known models, what they cost and when they go, and how many bots here use them."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reconciler.catalog import catalog
from reconciler.cli.output import Format, console, put, put_json, say
from reconciler.cli.site import Ref, TargetName, site
from reconciler.errors import InvalidBots, Misuse

if TYPE_CHECKING:
    from reconciler.model import Catalog, KnownModel


def models(
    target: TargetName = None,
    ref: Ref = None,
    all_: Annotated[bool, typer.Option("--all", help="Also models that have gone, and that no bot uses.")] = False,
    format_: Annotated[Format, typer.Option("--format", help="How to print it.")] = Format.text,
) -> None:
    """The models that this version knows: prices of a million tokens, the day on which a model goes, what replaces it.

    In a repository the bots that use each are counted, and models that its bots name and nobody here knows are listed
    too. It asks nobody; what an account itself lists, `status` and `plan` say (the loop asks once a day).

    Examples:

        reconciler models
        reconciler models --all --format json
    """
    known = catalog()
    used = _used(target, ref)
    today = datetime.now(UTC).date()
    rows = [_row(name, one, used[name], today) for name, one in known.models.items()]
    rows += [_row(name, None, count, today) for name, count in sorted(used.items()) if name not in known.models]
    rows = [row for row in rows if all_ or row["bots"] or not row["gone"]]
    if format_ is Format.json:
        put_json({"asOf": known.as_of, "currency": known.currency, "sources": known.sources, "models": rows})
        return
    _show(rows, known)


def _used(target: str | None, ref: str | None) -> Counter[str]:
    """How many bots of the desired state use each model; none where there is no repository to stand in."""
    from reconciler.plan.retire import uses
    from reconciler.reconcile.once import read_wanted

    try:
        wanted = read_wanted(site(), target, ref=ref)
    except (Misuse, InvalidBots) as error:
        if target or ref or isinstance(error, InvalidBots):
            raise
        return Counter()
    return Counter(use.model for use in uses(wanted.desired))


def _row(name: str, one: KnownModel | None, bots: int, today: date) -> dict[str, Any]:
    ends = one.ends if one is not None else None
    return {
        "model": name,
        "known": one is not None,
        "input": one and one.input,
        "cached": one and one.cached,
        "output": one and one.output,
        "ends": ends,
        "gone": ends is not None and date.fromisoformat(ends) <= today,
        "replacement": one and one.replacement,
        "bots": bots,
    }


def _show(rows: list[dict[str, Any]], known: Catalog) -> None:
    from rich.table import Table

    table = Table("model", "input", "cached", "output", "goes", "replaced by", "bots", box=None, pad_edge=False)
    for column in (1, 2, 3, 6):
        table.columns[column].justify = "right"
    for row in rows:
        goes = row["ends"] or ("" if row["known"] else "not known here")
        table.add_row(
            row["model"],
            *(
                "" if row[price] is None else f"{row[price]:.3f}".removesuffix("0")
                for price in ("input", "cached", "output")
            ),
            f"gone, {goes}" if row["gone"] else goes,
            row["replacement"] or "",
            str(row["bots"] or ""),
        )
    console().print(table)
    put("")
    say(f"{known.currency} for a million tokens, as of {known.as_of}: {', '.join(known.sources)}")


def _money(price: float | None) -> str:
    """`0.10`, `0.075`"""
    return "" if price is None else f"{price:.3f}".removesuffix("0")
