//! Saved searches, and filters wherever they stand.

use serde_json::Value;

use super::{Place, list, text};
use crate::fields::Fields;

const SOURCE: &str = "searchSourceJSON";

/// A list of documents.
pub(super) fn search(attributes: &Value, place: &Place<'_>) {
    let meta = &attributes["kibanaSavedObjectMeta"];
    let Some(source) = place.json(meta, SOURCE) else { return };
    empty_query(&source["query"], place);
    let view = place.view(text(&source["indexRefName"]));
    for (at, filter) in list(&source["filter"]).iter().enumerate() {
        self::filter(filter, "indexRefName", &place.at(format!("filter {at}")), |place, name| {
            place.view(name)
        });
    }
    let Some(fields) = view else { return };
    for column in list(&attributes["columns"]) {
        if fields.get(text(column)).is_none() {
            place.problem(format!("{}* has no field {column}", fields.prefix));
        }
    }
    for sort in list(&attributes["sort"]) {
        place.date(fields, text(&sort[0]));
    }
}

/// One filter: the fields that it names are there. `index` is the key under which it calls its data view.
pub(super) fn filter<'a>(
    filter: &Value,
    index: &str,
    place: &Place<'a>,
    view: impl Fn(&Place<'a>, &str) -> Option<Fields<'a>>,
) {
    let meta = &filter["meta"];
    let Some(fields) = view(place, text(&meta[index])) else { return };
    if text(&meta["type"]) == "phrase" {
        let (key, value) = (text(&meta["key"]), &meta["params"]["query"]);
        if filter["query"]["match_phrase"][key] != *value {
            place.problem("the query is not the phrase that is shown");
        }
    }
    let mut named = Vec::new();
    leaves(&filter["query"], &mut named);
    if named.is_empty() {
        place.problem("asks nothing");
    }
    for field in named {
        if fields.get(field).is_none() {
            place.problem(format!("{}* has no field {field:?}", fields.prefix));
        }
    }
}

/// The fields that a query names.
fn leaves<'q>(query: &'q Value, named: &mut Vec<&'q str>) {
    for (kind, body) in query.as_object().into_iter().flatten() {
        match kind.as_str() {
            "bool" => {
                for clause in body.as_object().into_iter().flat_map(|clauses| clauses.values()) {
                    list(clause).iter().for_each(|clause| leaves(clause, named));
                }
            }
            _ => named
                .extend(body.as_object().into_iter().flat_map(|fields| fields.keys()).map(String::as_str)),
        }
    }
}

/// What is asked in Kibana's own language could not be checked: there must be none.
pub(super) fn empty_query(query: &Value, place: &Place<'_>) {
    if text(&query["language"]) != "kuery" || query["query"].as_str() != Some("") {
        place.problem("the query must be empty: filters are what is checked");
    }
}
