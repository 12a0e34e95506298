#!/usr/bin/env python3
"""Writes dashboards/cfr.json. The panels stand here, a line or two each; the JSON is what Grafana loads.

    deploy/grafana/dashboard.py            write it
    deploy/grafana/dashboard.py --check    exit 1 if the file is not what would be written
"""

import json
import pathlib
import sys

TARGET = pathlib.Path(__file__).with_name("dashboards") / "cfr.json"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
JOB = 'job=~"$job"'
RATE = "[$__rate_interval]"
HEIGHT = {"stat": 4}


def share(part, whole):
    return f"sum(rate({part}{RATE})) / sum(rate({whole}{RATE}))"


def quantile(q, metric, by="", match=""):
    match = f"{JOB}, {match}" if match else JOB
    group = f"le, {by}" if by else "le"
    return f"histogram_quantile({q}, sum by ({group}) (rate({metric}_bucket{{{match}}}{RATE})))"


def quantiles(metric, by="", match=""):
    label = f" {{{{{by}}}}}" if by else ""
    return [(quantile(q, metric, by, match), f"p{int(q * 100)}{label}") for q in (0.5, 0.95, 0.99)]


def by(label, metric, match=""):
    match = f"{JOB}, {match}" if match else JOB
    return [(f"sum by ({label}) (rate({metric}{{{match}}}{RATE}))", f"{{{{{label}}}}}")]


def broker(metric, queues):
    return [(f'sum by (queue) (rabbitmq_detailed_queue_{metric}{{queue=~"{queues}"}})', "{{queue}}")]


def stat(title, about, unit, expr, steps, width=3):
    return {"kind": "stat", "title": title, "about": about, "unit": unit, "queries": [(expr, "")], "steps": steps, "width": width}


def graph(title, about, unit, queries, width=8, **more):
    queries = [(queries, "")] if isinstance(queries, str) else queries
    return {"kind": "timeseries", "title": title, "about": about, "unit": unit, "queries": queries, "width": width, **more}


GREEN, ORANGE, RED = "green", "orange", "red"
STORED = f'cfr_outcomes_total{{{JOB}, status!="dead_lettered"}}'
SAFE = f'cfr_outcomes_total{{{JOB}, status!~"dead_lettered|success"}}'
ANSWERED = 'outcome!="undelivered"'  # what was given up took its age limit: that says nothing

ROWS = [
    ("Is it working?", [
        stat("Triggers", "Outcomes stored per second, of whatever status.", "reqps",
             f'sum(rate(cfr_outcomes_total{{{JOB}, status!="dead_lettered"}}{RATE}))', [(None, GREEN)]),
        stat("Failed", "Share of failures of ours: expired, internal error, no model, not delivered. Objective: 0.5 %.", "percentunit",
             "cfr:failures:ratio_rate5m", [(None, GREEN), (0.005, ORANGE), (0.03, RED)]),
        stat("p95", "From acceptance until the callback was acknowledged, 95 % took no longer. Objective: 10 s.", "s",
             "cfr:trigger_duration_seconds:p95_5m", [(None, GREEN), (8, ORANGE), (10, RED)]),
        stat("Budget left", "Of the failures that the objective allows in 30 days.", "percentunit",
             "cfr:failures:budget_remaining30d", [(None, RED), (0, ORANGE), (0.25, GREEN)]),
        stat("Dead letters", "Messages that wait for an operator: cfr dead-letters list.", "short",
             'sum(rabbitmq_detailed_queue_messages_ready{queue=~"fr\\\\.(dead|unrouted)"})', [(None, GREEN), (1, ORANGE), (50, RED)]),
        stat("Waiting", "Triggers in the work lane that no worker has taken yet.", "short",
             'sum(rabbitmq_detailed_queue_messages_ready{queue="fr.work"})', [(None, GREEN), (1000, ORANGE), (10000, RED)]),
        stat("Open breakers", "Upstreams that are called no longer, because they failed too often.", "short",
             f'count(max by (upstream) (cfr_circuit_breaker_state{{{JOB}, state="open"}}) > 0) or vector(0)', [(None, GREEN), (1, RED)]),
        stat("Alerts", "Alerts of the router and its broker that fire now.", "short",
             'count(ALERTS{alertname=~"Cfr.+", alertstate="firing"}) or vector(0)', [(None, GREEN), (1, RED)]),
    ]),
    ("Ingress", [
        graph("Requests", "Webhook requests by how they ended.", "reqps", by("outcome", "cfr_webhook_requests_total"), stack=True),
        graph("Turned away", "Share answered 503 or 500, and share without a valid signature.", "percentunit", [
            (share(f'cfr_webhook_requests_total{{{JOB}, outcome=~"queue_unavailable|internal"}}', f"cfr_webhook_requests_total{{{JOB}}}"), "5xx"),
            (share(f'cfr_webhook_requests_total{{{JOB}, outcome=~"bad_signature|stale_timestamp"}}', f"cfr_webhook_requests_total{{{JOB}}}"), "signature"),
        ]),
        graph("Answer time, accepted", "From the first header byte to the 202, the queue's confirm included.", "s",
              quantiles("cfr_webhook_request_duration_seconds", match='outcome_class="accepted"')),
        graph("In flight", "Webhook requests being answered.", "short", [
            (f"sum by (instance) (cfr_webhook_in_flight_requests{{{JOB}}})", "{{instance}}")], width=6),
        graph("Publish, p95", "Until the queue confirmed a publish; ingress and worker publish alike.", "s", [
            (quantile(0.95, "cfr_publish_duration_seconds", "job", 'outcome="confirmed"'), "{{job}}")], width=6),
        graph("Publishes not confirmed", "Nacked, returned or timed out: the caller got 503, or the worker tried again.", "ops",
              by("outcome", "cfr_publish_duration_seconds_count", 'outcome!="confirmed"'), width=6),
        graph("Since a secret was last used", "A previous secret that is used no longer can be removed.", "s", [
            (f"time() - max by (secret) (cfr_webhook_secret_last_used_timestamp_seconds{{{JOB}}})", "{{secret}}")], width=6),
        graph("Held requests", "Requests held open for an outcome, at each ingress.", "short", [
            (f"sum by (instance) (cfr_held_requests{{{JOB}}})", "{{instance}}")]),
        graph("Polls", "Polls by what they were answered; unknown is another replica's, older than ten minutes, or past its deadline without an outcome.", "reqps",
              by("status", "cfr_polls_total"), stack=True),
        graph("Kept no longer", "Outcomes that can be asked for no longer: after their ten minutes (age), or for want of room. Of a profile that posts nothing, that was the last of them.", "ops",
              by("reason", "cfr_kept_outcomes_dropped_total"), stack=True),
    ]),
    ("Queue", [
        graph("Ready", "Messages that wait, by lane.", "short", broker("messages_ready", "fr\\\\.(work|late|outcome)"), stack=True),
        graph("Held by workers", "Delivered and not yet acknowledged.", "short", broker("messages_unacked", "fr\\\\.(work|late|outcome)"), stack=True),
        graph("Wait", "From acceptance until a worker took the trigger. The best signal to scale workers by.", "s", quantiles("cfr_queue_wait_seconds")),
        graph("Consumers", "Who consumes each lane. 0 is an outage.", "short", broker("consumers", "fr\\\\.(work|late|outcome)")),
        graph("Delayed and dead", "Messages that wait for a retry, and dead letters.", "short", broker("messages_ready", "fr\\\\.(retry.+|dead|unrouted)")),
        graph("Redelivered", "Share of deliveries that came back from an earlier one: a worker ended, or a session broke.", "percentunit",
              share(f'cfr_messages_consumed_total{{{JOB}, redelivered="true"}}', f"cfr_messages_consumed_total{{{JOB}}}")),
        graph("Sessions and doubts", "Sessions that ended, publishes of unknown fate, settlements the queue no longer took, triggers that come from this clock's future.", "ops", [
            *by("reason", "cfr_queue_reconnects_total"),
            (f"sum(rate(cfr_publishes_unknown_total{{{JOB}}}{RATE}))", "publish unknown"),
            (f"sum(rate(cfr_acks_lost_total{{{JOB}}}{RATE}))", "ack lost"),
            (f"sum(rate(cfr_clock_behind_total{{{JOB}}}{RATE}))", "from the future"),
        ], width=12),
        graph("Notices", "What processes tell each other in passing. Dropped ones make a poll say unknown.", "ops", by("end", "cfr_notices_total"), width=12, stack=True),
    ]),
    ("Workers", [
        graph("Processes", "Processes that answer Prometheus, and those of them that drain.", "short", [
            (f"sum by (job) (up{{{JOB}}})", "{{job}}"), (f"sum(cfr_worker_draining{{{JOB}}})", "draining")]),
        graph("Slots in use", "Deliveries being worked on as a share of what may be, by lane.", "percentunit", [
            ("cfr:worker_slots:used_ratio", "{{lane}}")]),
        graph("Settled", "Deliveries by how they ended.", "ops", by("disposition", "cfr_messages_settled_total"), stack=True),
        graph("CPU", "Cores used by each process.", "short", [
            (f"sum by (instance) (rate(process_cpu_seconds_total{{{JOB}}}{RATE}))", "{{instance}}")]),
        graph("Busy", "Share of the time that the runtime's threads work. Near 100 %: short of processors.", "percentunit", [
            (f"sum by (instance) (rate(cfr_runtime_busy_seconds_total{{{JOB}}}{RATE})) / sum by (instance) (cfr_runtime_threads{{{JOB}}})", "{{instance}}")]),
        graph("Memory", "Resident memory of each process.", "bytes", [
            (f"max by (instance) (process_resident_memory_bytes{{{JOB}}})", "{{instance}}")]),
        graph("File descriptors", "Share of the limit in use.", "percentunit", [
            (f"max by (instance) (process_open_fds{{{JOB}}} / process_max_fds{{{JOB}}})", "{{instance}}")]),
        graph("Panics", "Deliveries whose handling panicked. Each is a defect.", "ops", by("lane", "cfr_worker_panics_total")),
        graph("Clock", "How far a process's clock is provably ahead of (below 0: behind) whoever sends the triggers.", "s", [
            (f"max by (instance) (cfr_clock_skew_seconds{{{JOB}}})", "{{instance}}")]),
    ]),
    ("Pipeline", [
        graph("Stages, p95", "Time of each stage, 95 % took no longer.", "s", [
            (quantile(0.95, "cfr_stage_duration_seconds", "stage"), "{{stage}}")], stack=True),
        graph("End to end", "From acceptance until the callback was acknowledged.", "s", quantiles("cfr_trigger_duration_seconds", match=ANSWERED)),
        graph("Stage failures", "Failures by stage and reason. Most degrade an answer, few prevent it.", "ops", [
            (f"sum by (stage, reason) (rate(cfr_stage_failures_total{{{JOB}}}{RATE}))", "{{stage}} {{reason}}")]),
        graph("Our own time", "Time of a trigger less queue wait and upstream calls.", "s", quantiles("cfr_overhead_seconds"), width=12),
        graph("Accepted less decided", "Triggers accepted and not yet decided, since the beginning of the range. It should come back to 0.", "short", [
            (f'sum(increase(cfr_webhook_requests_total{{{JOB}, outcome="accepted"}}[$__range])) - sum(increase({STORED}[$__range]))', "difference")], width=12),
    ]),
    ("Model", [
        {"kind": "heatmap", "title": "Call time", "about": "Distribution of the time of one call of the gateway.", "unit": "s", "width": 12,
         "queries": [(f'sum by (le) (increase(cfr_upstream_request_duration_seconds_bucket{{{JOB}, upstream="llm"}}{RATE}))', "{{le}}")]},
        graph("Call time, quantiles", "Time of one call of the gateway.", "s", quantiles("cfr_upstream_request_duration_seconds", match='upstream="llm"'), width=12),
        graph("Tokens", "Tokens per second as the gateway reports them.", "short", by("direction", "cfr_llm_tokens_total"), stack=True),
        graph("Cost per hour", "US dollars, as the gateway says or estimated from the price table.", "currencyUSD", [
            (f"sum by (model) (rate(cfr_llm_cost_usd_total{{{JOB}}}{RATE})) * 3600", "{{model}}")], stack=True),
        graph("Rate limited", "Share of calls answered 429.", "percentunit",
              share(f'cfr_upstream_requests_total{{{JOB}, upstream="llm", status="429"}}', f'cfr_upstream_requests_total{{{JOB}, upstream="llm"}}')),
        graph("Calls for a trigger", "Mean number of calls of the gateway for one trigger.", "short",
              f"sum(rate(cfr_llm_attempts_sum{{{JOB}}}{RATE})) / sum(rate(cfr_llm_attempts_count{{{JOB}}}{RATE}))"),
        graph("Why it stopped", "Completions by finish reason.", "ops", by("reason", "cfr_llm_finish_total"), stack=True),
        graph("Calls", "Calls of the gateway by how they were answered.", "reqps", by("status", "cfr_upstream_requests_total", 'upstream="llm"'), stack=True),
        graph("Second calls", "Calls beside one that took long: which answer counted, and how many there were not (llm.hedge).", "ops", by("end", "cfr_llm_hedges_total"), stack=True),
        graph("Held back", "Repeats not made because too many calls were repeats already, and times that a model was slowed down (llm.adaptive).", "ops", [
            (f"sum(rate(cfr_llm_retries_withheld_total{{{JOB}}}{RATE}))", "repeat withheld"),
            (f"sum(rate(cfr_llm_narrowed_total{{{JOB}}}{RATE}))", "slowed down")]),
        graph("In line", "Calls that wait for their turn, at each worker (llm.adaptive).", "short", [
            (f"sum by (instance) (cfr_llm_waiting_calls{{{JOB}}})", "{{instance}}")]),
    ]),
    ("Answers", [
        graph("Outcomes", "Outcomes stored, by status.", "ops", by("status", "cfr_outcomes_total"), stack=True),
        graph("Validation", "Answers of the model, by how their validation ended.", "ops", by("outcome", "cfr_validations_total"), stack=True),
        graph("Sent to a human by us", "Share of outcomes that are a safe answer instead of a decision.", "percentunit", [
            (share(SAFE, STORED), "safe answers")]),
        graph("Decisions by target", "The intents that were decided for; other: of profiles without a list.", "ops", by("target", "cfr_decisions_total"), width=12, stack=True),
        graph("Decisions by source", "Who decided: the model, a rule of the profile, or nobody (the safe answer).", "ops", by("source", "cfr_decisions_total"), width=12, stack=True),
    ]),
    ("Callbacks", [
        graph("Ends", "Callbacks by how they ended for good.", "ops", by("outcome", "cfr_callback_deliveries_total"), stack=True),
        graph("Answers of the receiver", "Tries by how they were answered.", "reqps", by("status", "cfr_upstream_requests_total", 'upstream="cognigy"'), stack=True),
        graph("Time of a try", "Time of one request to the receiver.", "s", quantiles("cfr_upstream_request_duration_seconds", match='upstream="cognigy"')),
        graph("Tries until the end", "Mean number of tries of one callback.", "short",
              f"sum(rate(cfr_callback_attempts_sum{{{JOB}}}{RATE})) / sum(rate(cfr_callback_attempts_count{{{JOB}}}{RATE}))", width=12),
        graph("Dead letters", "Messages that became dead letters, by reason.", "ops", by("reason", "cfr_dead_letters_total"), width=12, stack=True),
    ]),
    ("Dependencies", [
        {"kind": "state-timeline", "title": "Circuit breakers", "about": "Whether an upstream is called: closed yes, open no, half open: one call tries.", "unit": "short", "width": 24,
         "queries": [(f'2 * (max by (upstream) (cfr_circuit_breaker_state{{{JOB}, state="open"}}) > bool 0) + (max by (upstream) (cfr_circuit_breaker_state{{{JOB}, state="half_open"}}) > bool 0)', "{{upstream}}")]},
        graph("Failed requests", "Requests to upstreams that were not answered 2xx.", "reqps", [
            (f'sum by (upstream, status) (rate(cfr_upstream_requests_total{{{JOB}, status!="2xx"}}{RATE}))', "{{upstream}} {{status}}")]),
        graph("Time, p95", "Time of one request, 95 % took no longer.", "s", [
            (quantile(0.95, "cfr_upstream_request_duration_seconds", "upstream"), "{{upstream}}")]),
        graph("Repeated", "Requests that were repeated, by upstream and cause.", "reqps", [
            (f"sum by (upstream, reason) (rate(cfr_upstream_retries_total{{{JOB}}}{RATE}))", "{{upstream}} {{reason}}")]),
        graph("Token's life", "Seconds until the access token in use expires.", "s", [
            (f"max by (provider) (cfr_token_expiry_timestamp_seconds{{{JOB}}}) - time()", "{{provider}}")]),
        graph("Token requests", "Attempts to get an access token.", "ops", by("outcome", "cfr_token_refreshes_total")),
        graph("Broker", "Alarms of the broker (1: it blocks publishers), and whether processes are connected.", "short", [
            ("max(rabbitmq_alarms_memory_used_watermark)", "memory alarm"), ("max(rabbitmq_alarms_free_disk_space_watermark)", "disk alarm"),
            (f"min(cfr_queue_connected{{{JOB}}})", "all connected")]),
        graph("Breakers that changed", "Changes of state, by upstream and what to. Many of both: it flaps.", "ops", [
            (f"sum by (upstream, to) (rate(cfr_circuit_breaker_transitions_total{{{JOB}}}{RATE}))", "{{upstream}} {{to}}")], width=12),
        graph("Conversations kept", "Conversations that were not fetched because they were kept, or under way for another trigger.", "ops",
              f"sum(rate(cfr_history_cache_hits_total{{{JOB}}}{RATE}))", width=12),
    ]),
    ("Build and settings", [
        {"kind": "table", "title": "Versions", "about": "What is running.", "unit": "short", "width": 8,
         "queries": [("count by (component, version, revision) (cfr_build_info)", "")]},
        graph("Up since", "Age of each process; a sawtooth is a crash loop.", "s", [
            (f"time() - max by (instance) (process_start_time_seconds{{{JOB}}})", "{{instance}}")]),
        graph("Template sets", "Template sets in use, in each process.", "short", [
            (f"max by (instance) (cfr_templates_loaded{{{JOB}}})", "{{instance}}")]),
        graph("Last reload", "1: the last change of settings was taken; 0: it was refused, the former ones stay.", "short", [
            (f"min by (instance) (cfr_config_last_reload_successful{{{JOB}}})", "{{instance}}")], width=12),
        graph("Age of the settings", "Since the settings in use were read.", "s", [
            (f"time() - max by (instance) (cfr_config_last_reload_success_timestamp_seconds{{{JOB}}})", "{{instance}}")], width=12),
    ]),
]


def steps_of(steps):
    return {"mode": "absolute", "steps": [{"color": color, "value": value} for value, color in steps]}


def targets(panel):
    instant = panel["kind"] in ("table",)
    form = {"table": "table", "heatmap": "heatmap"}.get(panel["kind"], "time_series")
    made = []
    for number, (expr, legend) in enumerate(panel["queries"]):
        target = {"datasource": SOURCE, "editorMode": "code", "expr": expr, "format": form, "refId": chr(ord("A") + number)}
        target |= {"instant": True, "range": False} if instant else {"range": True}
        made.append(target | ({"legendFormat": legend} if legend else {}))
    return made


def options(panel):
    kind = panel["kind"]
    if kind == "stat":
        return {"colorMode": "background", "graphMode": "area", "justifyMode": "auto", "textMode": "auto",
                "orientation": "auto", "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}}
    if kind == "timeseries":
        return {"legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
                "tooltip": {"mode": "multi", "sort": "desc"}}
    if kind == "heatmap":
        return {"calculate": False, "cellGap": 1, "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64, "exponent": 0.5, "fill": "dark-orange", "reverse": False, "scale": "exponential"},
                "filterValues": {"le": 1e-9}, "legend": {"show": True}, "rowsFrame": {"layout": "auto"}, "showValue": "never",
                "tooltip": {"mode": "single", "yHistogram": False, "showColorScale": False}, "yAxis": {"axisPlacement": "left", "reverse": False, "unit": "s"}, "exemplars": {"color": "rgba(255,0,255,0.7)"}}
    if kind == "state-timeline":
        return {"alignValue": "left", "mergeValues": True, "rowHeight": 0.8, "showValue": "auto",
                "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True}, "tooltip": {"mode": "single", "sort": "none"}}
    return {"cellHeight": "sm", "showHeader": True, "footer": {"show": False, "countRows": False, "fields": "", "reducer": ["sum"]}}


def fields(panel):
    defaults = {"unit": panel["unit"], "color": {"mode": "thresholds" if "steps" in panel else "palette-classic"}, "mappings": []}
    defaults["thresholds"] = steps_of(panel.get("steps", [(None, GREEN)]))
    if panel["unit"] == "percentunit":
        defaults |= {"decimals": 2}
    if panel["kind"] == "timeseries":
        stacked = panel.get("stack", False)
        defaults["custom"] = {"drawStyle": "line", "lineWidth": 1, "fillOpacity": 30 if stacked else 5, "showPoints": "never",
                              "spanNulls": False, "stacking": {"group": "A", "mode": "normal" if stacked else "none"}}
        defaults["min"] = 0
    if panel["title"] in ("Accepted less decided", "Token's life", "Clock"):
        defaults.pop("min", None)
    if panel["kind"] == "state-timeline":
        state = lambda text, color, index: {"text": text, "color": color, "index": index}
        defaults["mappings"] = [{"type": "value", "options": {
            "0": state("closed", GREEN, 0), "1": state("half open", ORANGE, 1), "2": state("open", RED, 2), "3": state("open", RED, 3)}}]
        defaults["custom"] = {"fillOpacity": 80, "lineWidth": 0}
    return {"defaults": defaults, "overrides": []}


def panels():
    made, identity, y = [], 0, 0
    for title, content in ROWS:
        identity += 1
        made.append({"id": identity, "type": "row", "title": title, "collapsed": False, "panels": [], "gridPos": {"h": 1, "w": 24, "x": 0, "y": y}})
        y, x, tallest = y + 1, 0, 0
        for panel in content:
            height = HEIGHT.get(panel["kind"], 7)
            if x + panel["width"] > 24:
                x, y, tallest = 0, y + tallest, 0
            identity += 1
            made.append({
                "id": identity, "type": panel["kind"], "title": panel["title"], "description": panel["about"], "datasource": SOURCE,
                "gridPos": {"h": height, "w": panel["width"], "x": x, "y": y}, "fieldConfig": fields(panel), "options": options(panel), "targets": targets(panel),
            })
            x, tallest = x + panel["width"], max(tallest, height)
        y += tallest
    return made


def variables():
    source = {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "current": {}, "hide": 0,
              "includeAll": False, "multi": False, "options": [], "refresh": 1, "regex": "", "skipUrlSync": False}
    job = {"name": "job", "label": "Job", "type": "query", "datasource": SOURCE,
           "query": {"query": "label_values(cfr_build_info, job)", "refId": "job"}, "current": {"text": ["All"], "value": ["$__all"]}, "hide": 0,
           "includeAll": True, "allValue": ".+", "multi": True, "options": [], "refresh": 2, "regex": "", "skipUrlSync": False, "sort": 1}
    return {"list": [source, job]}


def dashboard():
    return {
        "uid": "cognigy-fallback-router", "title": "Cognigy fallback router", "tags": ["cfr"], "editable": False, "graphTooltip": 1,
        "description": "Is it working, and if not, where: from the webhook through queue, pipeline and model to the callback.",
        "schemaVersion": 39, "version": 1, "refresh": "30s", "time": {"from": "now-3h", "to": "now"}, "timezone": "browser",
        "links": [], "templating": variables(), "annotations": {"list": []}, "panels": panels(),
    }


def written(board):
    """One line for each panel, so that a change can be read."""
    rows = ",\n    ".join(json.dumps(panel) for panel in board["panels"])
    rest = json.dumps(board | {"panels": []}, indent=2)
    return rest.replace('"panels": []', f'"panels": [\n    {rows}\n  ]') + "\n"


def main():
    text = written(dashboard())
    if "--check" in sys.argv:
        if not TARGET.exists() or TARGET.read_text() != text:
            sys.exit(f"{TARGET.name} is not what dashboard.py writes: run deploy/grafana/dashboard.py")
        return
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(text)


if __name__ == "__main__":
    main()
