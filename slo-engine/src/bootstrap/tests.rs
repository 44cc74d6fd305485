//! Templates are installed once, differences are told key by key, and a dry run changes nothing.

use serde_json::json;

use super::*;
use crate::export::double::Double;

const COUNTS: &str = "headroom-counts-production";

async fn run(double: &Double, dry_run: bool) -> (Vec<Found>, String) {
    let templates = install(&double.client(), &Environment::default(), dry_run).await.unwrap();
    (templates.iter().map(|template| template.found).collect(), text(&templates, dry_run))
}

#[tokio::test]
async fn what_is_missing_is_installed_and_the_second_time_there_is_nothing_to_do() {
    let double = Double::start().await;
    let (found, told) = run(&double, true).await;
    assert_eq!(found, [Found::Missing; 3]);
    assert!(
        told.starts_with("index template headroom-logs-production: missing, would be installed\n"),
        "{told}"
    );
    assert!(double.held().templates.is_empty());
    assert_eq!(run(&double, false).await.0, [Found::Missing; 3]);
    let (found, told) = run(&double, false).await;
    assert_eq!(found, [Found::AsWanted; 3]);
    assert!(told.ends_with("\nnothing to do\n"), "{told}");
}

#[tokio::test]
async fn a_template_that_someone_changed_is_told_key_by_key_and_mended() {
    let double = Double::start().await;
    run(&double, false).await;
    double.held().templates.get_mut(COUNTS).unwrap()["priority"] = json!(7);
    double.held().templates.get_mut(COUNTS).unwrap()["template"]["settings"]["index"]["codec"] = json!("x");
    let want = [
        "index template headroom-logs-production: as wanted",
        "index template headroom-counts-production: different, would be replaced",
        "  priority: 7 → 1010",
        "  template.settings.index.codec: \"x\" → nothing",
        "index template headroom-results-production: as wanted",
    ];
    let (found, told) = run(&double, true).await;
    assert_eq!(found, [Found::AsWanted, Found::Different, Found::AsWanted]);
    assert_eq!(told.lines().collect::<Vec<_>>(), want);
    assert_eq!(run(&double, false).await.0, found);
    assert_eq!(run(&double, false).await.0, [Found::AsWanted; 3]);
}

#[test]
fn an_alias_without_properties_is_still_a_difference() {
    let changes = diff(&json!({"a": {}, "l": []}), &json!({"a": {"alias": {}}}));
    let keys: Vec<&str> = changes.iter().map(|change| change.key.as_str()).collect();
    assert_eq!(keys, ["a", "a.alias"]);
}
