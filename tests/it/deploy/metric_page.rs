//! `deploy/docs/metrics.md`: every metric with its labels, and the edges of the histograms, as the program exposes them.

use std::{collections::BTreeMap, fs};

use super::{
    names::{exposed, exposition},
    place,
};

/// Labels whose values are written in the settings or come from the build.
const NAMED: [&str; 7] = ["model", "template", "target", "component", "version", "revision", "rustc"];

const HEAD: &str = "# The metrics

Written by a test from what an ingress and a worker in one process expose; `process_*` beside them is the Prometheus client's.
Every series is there from the start, at 0. An ingress has at most 120, a worker at most 300 of them (a test counts after a run
with hostile input); each further model costs a worker five more, a template set eight, an intent one.

| metric | type | labels | meaning |
|---|---|---|---|
";

const EDGES: &str = "
## Edges of the histograms

In seconds, unless the metric counts something.

| histogram | of | edges |
|---|---|---|
";

const WHY: &str = "
An edge is a series in every worker, for each value of its label. All that one could wish for (14 edges for each of three ends
of a trigger and each of three upstreams, 15 for each of five stages, 11 for each of four ends of a publish, 12 for the wait)
would make the histograms 279 series; beside some 146 of counters and gauges a worker's 300 leave 154. So edges stand where
something is decided by them: 5 s of waiting and 10 s for a trigger are alerts, 8 s is where its panel warns, the wait's are
what workers are scaled by. Between them a quantile is a guess, right to within its bucket: enough to see which stage or upstream
became slow. What took how long for one trigger stands exactly in its log line and its trace.
";

fn page(text: &str) -> String {
    let about = |kind: &str| {
        let lines = text.lines().filter_map(|line| line.strip_prefix(&format!("# {kind} "))?.split_once(' '));
        lines.map(|(name, rest)| (name.to_owned(), rest.to_owned())).collect::<BTreeMap<_, _>>()
    };
    let (types, helps, series) = (about("TYPE"), about("HELP"), exposed(text));
    let mut page = HEAD.to_owned();
    for (name, kind) in types.iter().filter(|(name, _)| name.starts_with("cfr_")) {
        let named = if kind == "histogram" { format!("{name}_count") } else { name.clone() };
        let labels = series[&named].iter().map(|(label, values)| match NAMED.contains(&label.as_str()) {
            true => format!("`{label}`"),
            false => format!("`{label}`: {}", values.iter().cloned().collect::<Vec<_>>().join(", ")),
        });
        let labels = labels.collect::<Vec<_>>().join("; ");
        page.push_str(&format!("| `{name}` | {kind} | {labels} | {} |\n", helps[name]));
    }
    page.push_str(EDGES);
    for (name, label, edges) in edges(text) {
        page.push_str(&format!("| `{name}` | {label} | {edges} |\n"));
    }
    page.push_str(WHY);
    page
}

/// Each histogram of ours: its name, what of, and the edges below infinity in their order.
fn edges(text: &str) -> Vec<(String, String, String)> {
    let mut found: Vec<(String, String, Vec<String>)> = Vec::new();
    for line in text.lines().filter(|line| line.starts_with("cfr_")) {
        let Some((name, labels)) = line.split_once("_bucket{") else { continue };
        let labels = labels.split_once('}').unwrap().0;
        let value = |label: &str| labels.split(',').find_map(|pair| pair.strip_prefix(label)?.strip_prefix("=\""));
        let edge = value("le").unwrap().trim_end_matches('"').to_owned();
        let of = labels.split(',').find(|pair| !pair.starts_with("le=")).unwrap_or_default().replace('"', "");
        match found.last_mut() {
            Some((last, last_of, edges)) if *last == name && *last_of == of => edges.push(edge),
            _ => found.push((name.to_owned(), of, vec![edge])),
        }
    }
    let shown = |edges: Vec<String>| match edges.split_last() {
        Some((infinity, rest)) if infinity == "+Inf" && !rest.is_empty() => rest.join(" "),
        _ => "none: count and sum".to_owned(),
    };
    found.into_iter().map(|(name, of, edges)| (name, of.replace('=', " "), shown(edges))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_of_the_metrics_says_what_is_exposed() {
    let (path, page) = (place("docs/metrics.md"), page(&exposition().await));
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == page, "it has drifted: UPDATE=1 cargo test --test it metric_page");
}
