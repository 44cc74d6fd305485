//! The search requests that Kibana sends for the panels of an export, so that they can be run without a Kibana.
//!
//! Read from the text of the export, not from what it was rendered from: what is asked is what was written.

use serde_json::{Map, Value, json};

/// How the newest document is found. Kibana asks for `top_metrics`, which not every server has; `top_hits` finds the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastValue {
    /// As Kibana asks.
    TopMetrics,
    /// On servers without X-Pack.
    TopHits,
}

/// What is looked at, and how.
#[derive(Clone, Copy, Debug)]
pub struct Range<'a> {
    /// First instant, as Elasticsearch reads it.
    pub from: &'a str,
    /// Last instant.
    pub to: &'a str,
    /// Width of the buckets of time, as in `fixed_interval`.
    pub interval: &'a str,
}

/// The request of one panel.
#[derive(Clone, Debug, PartialEq)]
pub struct PanelQuery {
    /// Title of the dashboard.
    pub dashboard: String,
    /// Name of the panel within it.
    pub panel: String,
    /// Index that is searched.
    pub index: String,
    /// Columns that are buckets, outer before inner.
    pub buckets: Vec<String>,
    /// Columns that are numbers or words.
    pub values: Vec<String>,
    /// Body for `_search`; aggregations are named as the columns.
    pub body: Value,
}

/// The requests of all charts and lists of documents, in the order of the export; what is broken is left out, which
/// `validate` tells of.
pub fn queries(ndjson: &str, range: Range<'_>, last: LastValue) -> Vec<PanelQuery> {
    let objects: Vec<Value> = ndjson.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let asker = Asker { objects: &objects, range, last };
    objects
        .iter()
        .filter(|object| object["type"] == "dashboard")
        .flat_map(|board| asker.board(board))
        .collect()
}

struct Asker<'a> {
    objects: &'a [Value],
    range: Range<'a>,
    last: LastValue,
}

impl Asker<'_> {
    fn board(&self, board: &Value) -> Vec<PanelQuery> {
        let panels = parsed(&board["attributes"]["panelsJSON"]);
        let panels = panels.as_array().map_or(&[][..], Vec::as_slice);
        let query = |panel: &Value| match panel["type"].as_str()? {
            "lens" => self.lens(board, panel),
            "search" => self.list(board, panel),
            _ => None,
        };
        panels.iter().filter_map(query).collect()
    }

    fn lens(&self, board: &Value, panel: &Value) -> Option<PanelQuery> {
        let name = panel["panelIndex"].as_str()?;
        let state = &panel["embeddableConfig"]["attributes"]["state"];
        let layer = &state["datasourceStates"]["formBased"]["layers"]["data"];
        let order: Vec<&str> = layer["columnOrder"].as_array()?.iter().filter_map(Value::as_str).collect();
        let (buckets, values): (Vec<&str>, Vec<&str>) =
            order.iter().partition(|id| layer["columns"][**id]["isBucketed"] == true);
        let aggregations = self.aggregations(&layer["columns"], &buckets, &values)?;
        let reference = format!("{name}:indexpattern-datasource-layer-data");
        let body = json!({
            "aggs": aggregations, "query": self.filtered(&state["filters"]), "size": 0, "track_total_hits": true,
        });
        Some(PanelQuery {
            buckets: buckets.into_iter().map(str::to_owned).collect(),
            values: values.into_iter().map(str::to_owned).collect(),
            ..self.query(board, name, &self.target(board, &reference)?, body)
        })
    }

    /// A list of documents, the newest first.
    fn list(&self, board: &Value, panel: &Value) -> Option<PanelQuery> {
        let name = panel["panelIndex"].as_str()?;
        let search = self.target(board, &format!("{name}:{}", panel["panelRefName"].as_str()?))?;
        let source = parsed(&search["attributes"]["kibanaSavedObjectMeta"]["searchSourceJSON"]);
        let view = self.target(&search, source["indexRefName"].as_str()?)?;
        let sort: Option<Vec<Value>> = search["attributes"]["sort"].as_array().map(|sorts| {
            sorts.iter().map(|sort| json!({ sort[0].as_str().unwrap_or_default(): sort[1] })).collect()
        });
        let body = json!({
            "query": self.filtered(&source["filter"]), "size": 100, "sort": sort?, "track_total_hits": true,
        });
        Some(self.query(board, name, &view, body))
    }

    fn query(&self, board: &Value, panel: &str, view: &Value, body: Value) -> PanelQuery {
        let title = |object: &Value| object["attributes"]["title"].as_str().unwrap_or_default().to_owned();
        PanelQuery {
            dashboard: title(board),
            panel: panel.to_owned(),
            index: title(view),
            buckets: Vec::new(),
            values: Vec::new(),
            body,
        }
    }

    /// The object that `object` calls `name`.
    fn target(&self, object: &Value, name: &str) -> Option<Value> {
        let reference = object["references"].as_array()?.iter().find(|it| it["name"] == name)?;
        let same = |it: &&Value| it["type"] == reference["type"] && it["id"] == reference["id"];
        self.objects.iter().find(same).cloned()
    }

    fn filtered(&self, filters: &Value) -> Value {
        let Range { from, to, .. } = self.range;
        let time = json!({ "range": { "@timestamp": { "format": "strict_date_optional_time", "gte": from, "lte": to } } });
        let filters = filters.as_array().map_or(&[][..], Vec::as_slice);
        let all = [time].into_iter().chain(filters.iter().map(|filter| filter["query"].clone()));
        json!({ "bool": { "filter": all.collect::<Vec<_>>() } })
    }

    /// Buckets in each other, the numbers in the innermost; what a bucket is ordered by is also beside it.
    fn aggregations(&self, columns: &Value, buckets: &[&str], values: &[&str]) -> Option<Value> {
        let Some((bucket, inner)) = buckets.split_first() else {
            let each = values.iter().filter_map(|id| Some(((*id).to_owned(), self.value(&columns[*id])?)));
            return Some(Value::Object(each.collect::<Map<_, _>>()));
        };
        let column = &columns[*bucket];
        let mut below = self.aggregations(columns, inner, values)?;
        let mut aggregation = match column["operationType"].as_str()? {
            "date_histogram" => json!({ "date_histogram": {
                "field": column["sourceField"], "fixed_interval": self.range.interval, "min_doc_count": 0,
            }}),
            "terms" => {
                let params = &column["params"];
                let by = params["orderBy"]["columnId"].as_str();
                if let Some(by) = by.filter(|by| below[*by].is_null() && columns[*by].is_object()) {
                    below[by] = self.value(&columns[by])?;
                }
                let by = by.filter(|by| columns[*by]["operationType"] != "count").unwrap_or(match by {
                    Some(_) => "_count",
                    None => "_key",
                });
                json!({ "terms": {
                    "field": column["sourceField"], "order": { by: params["orderDirection"] }, "size": params["size"],
                }})
            }
            _ => return None,
        };
        aggregation["aggs"] = below;
        Some(json!({ *bucket: aggregation }))
    }

    /// Nothing for a count, which every bucket has anyway.
    fn value(&self, column: &Value) -> Option<Value> {
        let field = &column["sourceField"];
        match column["operationType"].as_str()? {
            operation @ ("sum" | "min" | "max") => Some(json!({ operation: { "field": field } })),
            "average" => Some(json!({ "avg": { "field": field } })),
            "last_value" => {
                let sort = json!({ column["params"]["sortField"].as_str()?: "desc" });
                Some(match self.last {
                    LastValue::TopMetrics => {
                        json!({ "top_metrics": { "metrics": { "field": field }, "size": 1, "sort": sort } })
                    }
                    LastValue::TopHits => {
                        json!({ "top_hits": { "_source": [field], "size": 1, "sort": [sort] } })
                    }
                })
            }
            _ => None,
        }
    }
}

fn parsed(text: &Value) -> Value {
    text.as_str().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use slo::objective::SloSpec;

    use super::*;
    use crate::{ServiceDashboard, Workload, ndjson, render};

    fn all(last: LastValue) -> Vec<PanelQuery> {
        let web = ServiceDashboard {
            service: "shop/web".to_owned(),
            workload: Some(Workload { namespace: "shop".to_owned(), name: "web".to_owned() }),
            slos: SloSpec::defaults().to_vec(),
            runbook_url: None,
        };
        let range = Range { from: "2026-11-26T00:00:00Z", to: "2026-11-26T23:59:59Z", interval: "1h" };
        queries(&ndjson(&render(&[web], "production", "default")), range, last)
    }

    fn body(panel: &str, last: LastValue) -> Value {
        all(last).into_iter().find(|query| query.panel == panel).unwrap().body
    }

    #[test]
    fn every_chart_and_list_is_asked_for() {
        let all = all(LastValue::TopMetrics);
        let asked = |dashboard: &str| all.iter().filter(|query| query.dashboard.contains(dashboard)).count();
        assert_eq!((asked("services"), asked("shop/web")), (5, 12));
        let index = |panel: &str| all.iter().find(|query| query.panel == panel).unwrap().index.clone();
        assert_eq!(index("now"), "headroom-results-production");
        assert_eq!(index("error-lines"), "headroom-logs-production");
    }

    #[test]
    fn the_newest_word_is_asked_for_as_kibana_does() {
        let asked = body("now", LastValue::TopMetrics);
        let state = &asked["aggs"]["slo"]["aggs"]["state"];
        assert_eq!(
            *state,
            json!({ "top_metrics": { "metrics": { "field": "state" }, "size": 1, "sort": { "@timestamp": "desc" } } })
        );
        let asked = body("now", LastValue::TopHits);
        assert_eq!(asked["aggs"]["slo"]["aggs"]["state"]["top_hits"]["_source"], json!(["state"]));
    }

    #[test]
    fn buckets_are_ordered_by_a_number_beside_them() {
        let asked = body("budget", LastValue::TopMetrics);
        let service = &asked["aggs"]["service"];
        assert_eq!(service["terms"], json!({ "field": "service", "order": { "budget": "asc" }, "size": 12 }));
        assert_eq!(service["aggs"]["budget"], json!({ "min": { "field": "budget_remaining" } }));
        assert_eq!(service["aggs"]["time"]["aggs"]["budget"], service["aggs"]["budget"]);
    }

    #[test]
    fn filters_are_asked_for_as_they_stand() {
        let asked = body("budget-latency", LastValue::TopMetrics);
        let filters = asked["query"]["bool"]["filter"].as_array().unwrap();
        assert_eq!(filters[1], json!({ "match_phrase": { "service": "shop/web" } }));
        assert_eq!(filters[2], json!({ "match_phrase": { "slo": "latency" } }));
        assert_eq!(body("error-lines", LastValue::TopMetrics)["sort"], json!([{ "@timestamp": "desc" }]));
    }
}
