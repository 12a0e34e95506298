#!/usr/bin/env python3
"""Exits 1 if the dashboard has a key that Grafana's own model of a dashboard does not know: a typo that it would ignore."""

import json
import pathlib
import sys

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

# Keys of a panel that the model reads as free-form, or in a form of its own.
FREE = ("fieldConfig.defaults.custom", "options", "targets", "current", "query", "mappings")


def missing(written, read, path=""):
    """Paths of keys in `written` that did not survive the reading."""
    if any(path.endswith(free) for free in FREE):
        return
    if isinstance(written, dict) and isinstance(read, dict):
        for key, value in written.items():
            here = f"{path}.{key}".lstrip(".")
            if key not in read:
                if value not in (None, [], {}, "", False):
                    yield here
            else:
                yield from missing(value, read[key], here)
    elif isinstance(written, list) and isinstance(read, list):
        for number, (one, other) in enumerate(zip(written, read)):
            yield from missing(one, other, f"{path}[{number}]")


file = pathlib.Path(__file__).with_name("dashboards") / "cfr.json"
dashboard = json.loads(file.read_text())
understood = json.loads(json.dumps(Dashboard.from_json(dashboard), cls=JSONEncoder))
unknown = list(missing(dashboard, understood))
if unknown:
    sys.exit(f"{file.name}: Grafana does not know " + ", ".join(unknown))
