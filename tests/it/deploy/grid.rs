//! The dashboard is one that Grafana can lay out and a person can read.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{queries, read};

/// Where a panel stands: left, top, right, bottom.
fn corners(panel: &Value) -> [u64; 4] {
    let [x, y, w, h] = ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().unwrap());
    [x, y, x + w, y + h]
}

#[test]
fn panels_stand_inside_the_grid_and_not_on_each_other() {
    let panels = queries::panels();
    for (number, panel) in panels.iter().enumerate() {
        let [left, top, right, bottom] = corners(panel);
        assert!(right <= 24, "{}", panel["title"]);
        for other in &panels[..number] {
            let [other_left, other_top, other_right, other_bottom] = corners(other);
            let apart = right <= other_left || other_right <= left || bottom <= other_top || other_bottom <= top;
            assert!(apart, "{} stands on {}", panel["title"], other["title"]);
        }
    }
}

#[test]
fn panels_say_what_they_show_in_which_unit_from_the_chosen_source() {
    let mut ids = BTreeSet::new();
    for panel in queries::panels() {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{}", panel["title"]);
        if panel["type"] == "row" {
            continue;
        }
        assert!(panel["description"].as_str().is_some_and(|text| text.ends_with('.')), "{}", panel["title"]);
        assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{}", panel["title"]);
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{}", panel["title"]);
        for target in panel["targets"].as_array().unwrap() {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{}", panel["title"]);
            let expression = target["expr"].as_str().unwrap();
            let windows = expression.matches('[').count();
            let fitting = expression.matches("[$__rate_interval]").count() + expression.matches("[$__range]").count();
            assert_eq!(windows, fitting, "{}: a fixed window does not follow the zoom", panel["title"]);
        }
    }
}

#[test]
fn there_are_the_ten_rows_and_two_variables() {
    let dashboard: Value = serde_json::from_str(&read("grafana/dashboards/cfr.json")).unwrap();
    let rows: Vec<_> = queries::panels().into_iter().filter(|panel| panel["type"] == "row").collect();
    assert_eq!(rows.len(), 10);
    assert_eq!(dashboard["editable"], false);
    assert!(dashboard["uid"].is_string());
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let names: Vec<_> = variables.iter().map(|variable| variable["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["datasource", "job"]);
    assert_eq!((&variables[1]["multi"], &variables[1]["allValue"]), (&Value::Bool(true), &Value::from(".+")));
}
