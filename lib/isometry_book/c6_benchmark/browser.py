"""Chapter 6's explorable: all results of the streams, by stream, number and family."""

from collections.abc import Mapping
from html import escape
from typing import Any

from isometry.lab.plans import command_of
from isometry_book.c6_benchmark.streams_tables import numbers
from isometry_book.controls import data_script
from isometry_book.evidence.streams import Stream
from isometry_book.style import FAMILIES, OTHERS, family_of, method_label, worded

NUMBERS = {
    "level": "online accuracy over all tasks",
    "slope": "last minus first fifth of the tasks",
    "test_accuracy": "test accuracy",
}
EVERY = "all methods"
DIGITS = 3


def _title(stream: str) -> str:
    """Return a stream's name as the title of a list."""
    words = worded(stream)
    return words[:1].upper() + words[1:]


def stream_rows(stream: Stream) -> list[dict[str, Any]]:
    """Return what the explorable shows of each method of a stream.

    Args:
        stream: Any stream.

    Returns:
        ``method``, ``family``, ``command``, ``seeds``, and for each of
        :data:`NUMBERS` that was measured ``[mean, low, high]``: the interquartile mean
        over seeds with its 95 % interval.
    """
    found = {what: numbers(stream, what) for what in NUMBERS}
    rows = []
    for method, record in stream.runs.items():
        own = {
            what: [
                round(float(x), 5) for x in table.loc[method, ["mean", "low", "high"]]
            ]
            for what, table in found.items()
            if method in table.index
        }
        rows.append(
            {
                "method": method_label(method),
                "family": family_of(method),
                "command": command_of(record),
                "seeds": int(found["level"].loc[method, "seeds"]),
                "numbers": own,
            }
        )
    return rows


def _options(values: Mapping[str, str]) -> str:
    return "".join(
        f'<option value="{escape(key)}">{escape(text)}</option>'
        for key, text in values.items()
    )


def _interval(mean: float, low: float, high: float) -> str:
    return f"{mean:.{DIGITS}f} [{low:.{DIGITS}f}, {high:.{DIGITS}f}]"


def results_browser(streams: Mapping[str, Stream]) -> str:
    """Return the explorable as HTML; without a script it is the first stream's table.

    Args:
        streams: By name; those with one method alone are left out.
    """
    shown = {name: one for name, one in streams.items() if len(one.runs) > 1}
    rows = {name: stream_rows(one) for name, one in shown.items()}
    there = {row["family"] for own in rows.values() for row in own}
    families = [EVERY, *(title for title in (*FAMILIES, OTHERS) if title in there)]
    lists = {
        "stream": {name: _title(name) for name in shown},
        "number": NUMBERS,
        "family": {name: name for name in families},
    }
    controls = "\n".join(
        f'<label>{name} <select data-control="{name}">{_options(values)}'
        "</select></label>"
        for name, values in lists.items()
    )
    first = sorted(rows[next(iter(rows))], key=lambda row: -row["numbers"]["level"][0])
    body = "\n".join(
        f'<tr><th scope="row">{escape(row["method"])}</th><td></td>'
        f"<td>{_interval(*row['numbers']['level'])}</td></tr>"
        for row in first
    )
    data = {"streams": rows, "digits": DIGITS}
    return f"""<div class="explorable" data-explorable="results">
<div class="explorable-controls explorable-row" hidden>{controls}
<a download="results.csv" data-csv>all as CSV</a></div>
<table class="results-browser" aria-live="polite"><thead><tr><th scope="col">method</th>
<th scope="col"><span data-axis></span></th><th scope="col">mean and 95 % interval</th>
</tr></thead><tbody>
{body}
</tbody></table>
<p data-command>Choose a method to see the command that runs it.</p>
{data_script(data)}
<script src="../_static/explorables/explore.js" defer></script>
<script src="../_static/explorables/results.js" defer></script>
</div>"""
