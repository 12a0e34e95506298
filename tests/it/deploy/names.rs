//! Metrics, labels and values in rules, panels, console page and runbooks are those that the program exposes.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write as _,
    process::{Command, Stdio},
};

use promql_parser::{
    label::{MatchOp, Matcher},
    parser::{self, AggregateExpr, Expr, VectorSelector},
    util::{ExprVisitor, walk_expr},
};

use super::queries::{self, Query};
use crate::support::app::{TestApp, trigger};

/// Labels that Prometheus itself puts on every series, or on buckets.
const ALWAYS: [&str; 3] = ["job", "instance", "le"];

/// What a process exposes: metric → label → values.
pub(super) type Exposed = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// Reads an exposition. A histogram is there as its three kinds of series.
pub(super) fn exposed(text: &str) -> Exposed {
    let mut metrics = Exposed::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, _) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let known = metrics.entry(name.to_owned()).or_default();
        for pair in labels.trim_end_matches('}').split("\",").filter(|pair| !pair.is_empty()) {
            let (label, value) = pair.split_once("=\"").unwrap();
            known.entry(label.to_owned()).or_default().insert(value.trim_end_matches('"').to_owned());
        }
    }
    metrics
}

/// What the selectors and groupings of one query name.
#[derive(Default)]
struct Named {
    selectors: Vec<VectorSelector>,
    groupings: BTreeSet<String>,
}

impl ExprVisitor for Named {
    type Error = ();

    fn pre_visit(&mut self, expression: &Expr) -> Result<bool, ()> {
        match expression {
            Expr::VectorSelector(selector) => self.selectors.push(selector.clone()),
            Expr::MatrixSelector(matrix) => self.selectors.push(matrix.vs.clone()),
            Expr::Aggregate(AggregateExpr { modifier: Some(by), .. }) => {
                self.groupings.extend(by.labels().labels.iter().cloned());
            }
            _ => {}
        }
        Ok(true)
    }
}

fn named(query: &Query) -> Result<Named, String> {
    let text = query.over("5m");
    let expression = parser::parse(&text).map_err(|problem| format!("{}: {problem}: {text}", query.place))?;
    let mut named = Named::default();
    walk_expr(&mut named, &expression).unwrap();
    Ok(named)
}

/// The series that queries look at, each as a query of its own.
pub(super) fn looked_at(queries: &[Query]) -> Vec<Query> {
    let of = |query: &Query| {
        let place = query.place.clone();
        named(query)
            .unwrap()
            .selectors
            .into_iter()
            .map(move |one| Query { place: place.clone(), text: one.to_string() })
    };
    queries.iter().flat_map(of).collect()
}

/// The values a matcher is meant for: `a|b` is taken apart, any other pattern is looked for as such.
fn alternatives(matcher: &Matcher) -> Vec<String> {
    match matcher.op {
        MatchOp::Equal | MatchOp::NotEqual => vec![matcher.value.clone()],
        MatchOp::Re(_) | MatchOp::NotRe(_) => matcher.value.split('|').map(str::to_owned).collect(),
    }
}

/// What is wrong with one selector.
fn wrong(selector: &VectorSelector, metrics: &Exposed, recorded: &BTreeSet<String>) -> Vec<String> {
    let Some(name) = &selector.name else { return Vec::new() };
    if name.starts_with("cfr:") {
        return if recorded.contains(name) { Vec::new() } else { vec![format!("no rule records {name}")] };
    }
    if !name.starts_with("cfr_") && !name.starts_with("process_") {
        return Vec::new();
    }
    let Some(labels) = metrics.get(name) else { return vec![format!("there is no metric {name}")] };
    let mut problems = Vec::new();
    for matcher in selector.matchers.matchers.iter().filter(|matcher| !ALWAYS.contains(&matcher.name.as_str())) {
        let Some(values) = labels.get(&matcher.name) else {
            problems.push(format!("{name} has no label {}", matcher.name));
            continue;
        };
        for value in alternatives(matcher) {
            if value != ".+" && !values.contains(&value) {
                problems.push(format!("{name}: {} is never {value}, but {values:?}", matcher.name));
            }
        }
    }
    problems
}

/// What is wrong with one query.
fn problems(query: &Query, metrics: &Exposed, recorded: &BTreeSet<String>) -> Vec<String> {
    let named = match named(query) {
        Ok(named) => named,
        Err(problem) => return vec![problem],
    };
    let mut found: Vec<_> = named.selectors.iter().flat_map(|selector| wrong(selector, metrics, recorded)).collect();
    let ours = named.selectors.iter().all(|one| one.name.as_ref().is_some_and(|name| name.starts_with("cfr_")));
    for label in named.groupings.iter().filter(|label| ours && !ALWAYS.contains(&label.as_str())) {
        let has = |one: &VectorSelector| {
            one.name.as_ref().and_then(|name| metrics.get(name)).is_some_and(|labels| labels.contains_key(label))
        };
        if !named.selectors.iter().any(has) {
            found.push(format!("grouped by {label}, which no metric of the query has"));
        }
    }
    found.iter().map(|problem| format!("{}: {problem}", query.place)).collect()
}

/// What ingress and worker in one process expose after a trigger.
pub(super) async fn exposition() -> String {
    let app = TestApp::start_with(&[("LLM_MODEL", "gpt-4o-mini")]).await;
    app.outcome_of(&trigger()).await;
    let (_, text) = app.admin("/metrics").await;
    app.stop().await;
    text
}

#[tokio::test]
async fn promtool_finds_nothing_wrong_with_what_is_exposed() {
    let text = exposition().await;
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is not installed: run tests/run, which installs it");
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success() && said.is_empty(), "{said}");
}

#[tokio::test]
async fn every_query_names_metrics_labels_and_values_that_exist() {
    let metrics = exposed(&exposition().await);
    let rules = queries::rules();
    let recorded = rules.iter().map(|rule| rule.place.clone()).collect();
    let all = [rules, queries::dashboard(), queries::console(), queries::runbooks()];
    let found: Vec<_> = all.iter().flatten().flat_map(|query| problems(query, &metrics, &recorded)).collect();
    assert!(found.is_empty(), "{found:#?}");
}

/// Who adds a metric adds a panel: one that nobody sees need not be counted.
#[tokio::test]
async fn every_metric_of_ours_has_a_panel() {
    let text = exposition().await;
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let ours: BTreeSet<_> = types.filter(|name| name.starts_with("cfr_")).collect();
    assert!(ours.len() > 40, "only {} metrics were found", ours.len());
    let names = |query: &Query| named(query).unwrap().selectors.into_iter().filter_map(|one| one.name);
    let mut shown: BTreeSet<_> = queries::dashboard().iter().flat_map(names).collect();
    // A panel of a recorded series shows what that one is recorded from.
    let rules = queries::rules();
    let recorded: Vec<_> = rules.iter().filter(|rule| shown.contains(&rule.place)).flat_map(names).collect();
    shown.extend(recorded);
    let is_shown =
        |name: &&str| ["", "_bucket", "_sum", "_count"].iter().any(|kind| shown.contains(&format!("{name}{kind}")));
    let missing: Vec<_> = ours.into_iter().filter(|name| !is_shown(name)).collect();
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn a_wrong_name_label_or_value_is_found() {
    let metrics =
        exposed("# HELP x\ncfr_a_total{status=\"good\",le=\"1\"} 3\ncfr_a_total{status=\"bad\"} 1\ncfr_b 2\n");
    let recorded = BTreeSet::from(["cfr:known".to_owned()]);
    let ask = |text: &str| {
        let query = Query { place: "here".to_owned(), text: text.to_owned() };
        problems(&query, &metrics, &recorded)
    };
    for good in ["sum by (status) (rate(cfr_a_total{status=~\"good|bad\"}[5m]))", "cfr_b + cfr:known", "up{job=\"x\"}"]
    {
        assert_eq!(ask(good), [""; 0], "{good}");
    }
    for bad in [
        "cfr_aa_total",
        "cfr:unknown",
        "cfr_a_total{state=\"good\"}",
        "cfr_a_total{status=\"god\"}",
        "cfr_a_total{status=~\"good|worse\"}",
        "cfr_a_total{status!=\"worse\"}",
        "sum by (lane) (cfr_a_total)",
        "sum(cfr_b",
    ] {
        assert!(!ask(bad).is_empty(), "{bad}");
    }
}
