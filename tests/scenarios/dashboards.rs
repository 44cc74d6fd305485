//! Kibana dashboards of the recorded services: whole, the same each time, and over fields that the indices have.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use dashboards::fields::{ALL, FieldType};
use search::{Environment, Kind};
use serde_json::Value;
use tests::recorded;

use crate::engine;

/// Renders what `up` counted; the files by name.
async fn render(data_dir: &Path, out: &Path) -> Result<BTreeMap<String, String>> {
    let arguments = ["dashboards", "render", "--data-dir"].map(Path::new);
    let arguments: Vec<&Path> = arguments.into_iter().chain([data_dir, Path::new("--out"), out]).collect();
    engine().run(&arguments).await?.success()?;
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(out)? {
        let entry = entry?;
        files.insert(entry.file_name().into_string().unwrap(), std::fs::read_to_string(entry.path())?);
    }
    Ok(files)
}

#[tokio::test]
async fn the_recorded_services_have_dashboards() -> Result<()> {
    let dir = tempfile::tempdir()?;
    engine().up(dir.path(), &[recorded()]).await?.success()?;
    let once = render(dir.path(), &dir.path().join("once")).await?;
    let again = render(dir.path(), &dir.path().join("again")).await?;
    assert!(once == again, "the same services gave other bytes");
    let whole = &once["headroom.ndjson"];
    assert_eq!(dashboards::validate(whole, &ALL), Vec::new());
    for service in ["shop/web", "social/pds", "social/relay", "social/labeler", "social/feed-generator"] {
        assert!(whole.contains(&format!("Headroom: {service} (production)")), "{service} has no dashboard");
    }
    let boards = whole
        .lines()
        .filter(|line| line.contains("\"type\":\"dashboard\",\"typeMigrationVersion\":\"8.9.0\""));
    assert_eq!(boards.count() + 1, once.len(), "{:?}", once.keys());
    Ok(())
}

#[tokio::test]
async fn without_state_or_kibana_it_says_what_to_do() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let config = dir.path().join("engine.yaml");
    let data_dir = dir.path().join("data");
    std::fs::write(&config, format!("data_dir: {}\n", data_dir.display()))?;
    let apply = ["dashboards", "apply", "--config"].map(Path::new);
    let apply: Vec<&Path> = apply.into_iter().chain([config.as_path()]).collect();
    let ended = engine().run(&apply).await?;
    assert!(ended.stderr.contains("there is no state at") && !ended.status.success(), "{}", ended.stderr);
    engine().up(&data_dir, &[recorded()]).await?.success()?;
    let ended = engine().run(&apply).await?;
    assert!(ended.stderr.contains("says no `dashboards.url`") && !ended.status.success(), "{}", ended.stderr);
    Ok(())
}

/// Name and type of every field of a mapping.
fn mapped(properties: &Value, prefix: &str, fields: &mut BTreeMap<String, String>) {
    for (name, field) in properties.as_object().into_iter().flatten() {
        let name = format!("{prefix}{name}");
        match field["type"].as_str() {
            Some(kind) => drop(fields.insert(name, kind.to_owned())),
            None => mapped(&field["properties"], &format!("{name}."), fields),
        }
    }
}

#[test]
fn the_fields_that_panels_may_name_are_those_of_the_indices() {
    let kinds = [Kind::Results, Kind::Logs, Kind::Counts];
    for (kind, fields) in kinds.into_iter().zip(ALL) {
        let template = search::template(kind, &Environment::default(), search::Product::Elasticsearch);
        let mut want = BTreeMap::new();
        mapped(&template["template"]["mappings"]["properties"], "", &mut want);
        want.retain(|_, of| of != "flattened");
        let name = |of: &str| match of {
            "date" | "date_nanos" => FieldType::Date,
            "keyword" => FieldType::Keyword,
            "text" => FieldType::Text,
            "long" => FieldType::Long,
            "double" => FieldType::Double,
            other => panic!("{other} is new"),
        };
        let want: BTreeMap<&str, FieldType> =
            want.iter().map(|(field, of)| (field.as_str(), name(of))).collect();
        let is: BTreeMap<&str, FieldType> = fields.fields.iter().copied().collect();
        assert_eq!(
            is.iter().map(|it| format!("{it:?}")).collect::<Vec<_>>(),
            want.iter().map(|it| format!("{it:?}")).collect::<Vec<_>>()
        );
        assert_eq!(
            fields.alias("production"),
            template["template"]["aliases"].as_object().unwrap().keys().next().unwrap().as_str()
        );
    }
}
