//! Dashboards: the grid, and what is in each panel.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Place, drawing, layer, list, source, text};
use crate::fields::Fields;
use crate::object::Kind;
use crate::panel::COLUMNS;

pub(super) fn board(attributes: &Value, place: &Place<'_>) {
    place.json(attributes, "optionsJSON");
    if let Some(source) = place.json(&attributes["kibanaSavedObjectMeta"], "searchSourceJSON") {
        source::empty_query(&source["query"], place);
    }
    let Some(panels) = place.json(attributes, "panelsJSON") else { return };
    let panels = list(&panels);
    if panels.is_empty() {
        place.problem("has no panels");
    }
    grid(panels, place);
    for panel in panels {
        let place = place.at(format!("panel {}", panel["panelIndex"]));
        let config = &panel["embeddableConfig"];
        match text(&panel["type"]) {
            "lens" => lens(panel, &place),
            "links" => links(panel, &place),
            "visualization" => markdown(&config["savedVis"], &place),
            "search" => {
                let name = format!("{}:{}", text(&panel["panelIndex"]), text(&panel["panelRefName"]));
                place.resolve(Kind::Search, &name);
            }
            other => place.problem(format!("type {other:?} is none of ours")),
        }
    }
}

/// A rectangle: left, top, right, bottom.
type Rectangle = [u64; 4];

fn grid(panels: &[Value], place: &Place<'_>) {
    let mut names = BTreeSet::new();
    let mut taken: Vec<(&str, Rectangle)> = Vec::new();
    for panel in panels {
        let name = text(&panel["panelIndex"]);
        let place = place.at(format!("panel {name:?}"));
        if name.is_empty() || name.contains(':') || !names.insert(name) {
            place.problem("panelIndex is empty, holds a colon, or stands twice");
        }
        if text(&panel["gridData"]["i"]) != name {
            place.problem("gridData.i is not its panelIndex");
        }
        let Some(own) = rectangle(&panel["gridData"]) else {
            place.problem(format!("is not within the {COLUMNS} columns: {}", panel["gridData"]));
            continue;
        };
        for (other, rectangle) in taken.iter().filter(|(_, rectangle)| overlap(own, *rectangle)) {
            place.problem(format!("lies over panel {other:?}: {own:?} and {rectangle:?}"));
        }
        taken.push((name, own));
    }
}

fn rectangle(grid: &Value) -> Option<Rectangle> {
    let [x, y, w, h] = ["x", "y", "w", "h"].map(|key| grid[key].as_u64());
    let (x, y, w, h) = (x?, y?, w?, h?);
    let (right, bottom) = (x.checked_add(w)?, y.checked_add(h)?);
    (w > 0 && h > 0 && right <= COLUMNS).then_some([x, y, right, bottom])
}

fn overlap(one: Rectangle, other: Rectangle) -> bool {
    one[0] < other[2] && other[0] < one[2] && one[1] < other[3] && other[1] < one[3]
}

/// A chart: what it needs is named twice, by itself and, with its name before, by the dashboard.
struct Chart<'v> {
    panel: &'v str,
    own: BTreeSet<(&'v str, &'v str)>,
}

impl Chart<'_> {
    fn view<'a>(&self, place: &Place<'a>, name: &str) -> Option<Fields<'a>> {
        let id = place.resolve(Kind::DataView, &format!("{}:{name}", self.panel))?;
        if !self.own.contains(&(name, id)) {
            place.problem(format!("the panel's own references lack {name:?}, or name another data view"));
        }
        place.export.views.get(id).copied()
    }
}

fn lens(panel: &Value, place: &Place<'_>) {
    let attributes = &panel["embeddableConfig"]["attributes"];
    let own = list(&attributes["references"]).iter().map(|it| (text(&it["name"]), text(&it["id"])));
    let chart = Chart { panel: text(&panel["panelIndex"]), own: own.collect() };
    if text(&attributes["type"]) != "lens" {
        place.problem("its attributes are not of type lens");
    }
    let state = &attributes["state"];
    source::empty_query(&state["query"], place);
    for (at, filter) in list(&state["filters"]).iter().enumerate() {
        let place = place.at(format!("filter {at}"));
        source::filter(filter, "index", &place, |place, name| chart.view(place, name));
    }
    let layers = state["datasourceStates"]["formBased"]["layers"].as_object();
    let Some(layers) = layers.filter(|layers| !layers.is_empty()) else {
        return place.problem("has no layer");
    };
    for (name, value) in layers {
        let place = place.at(format!("layer {name:?}"));
        let fields = chart.view(&place, &format!("indexpattern-datasource-layer-{name}"));
        layer::layer(value, fields, &place);
    }
    drawing::drawing(text(&attributes["visualizationType"]), &state["visualization"], layers, place);
}

fn links(panel: &Value, place: &Place<'_>) {
    let links = list(&panel["embeddableConfig"]["attributes"]["links"]);
    let mut ids = BTreeSet::new();
    for (at, link) in links.iter().enumerate() {
        let place = place.at(format!("link {at}"));
        if !ids.insert(text(&link["id"])) || text(&link["label"]).is_empty() {
            place.problem("has no label, or its id stands twice");
        }
        match text(&link["type"]) {
            "dashboardLink" => {
                let name = format!("{}:{}", text(&panel["panelIndex"]), text(&link["destinationRefName"]));
                place.resolve(Kind::Dashboard, &name);
            }
            "externalLink" if text(&link["destination"]).starts_with("http") => {}
            other => place.problem(format!("leads nowhere: {other:?} {}", link["destination"])),
        }
    }
}

fn markdown(vis: &Value, place: &Place<'_>) {
    if text(&vis["type"]) != "markdown" || text(&vis["params"]["markdown"]).is_empty() {
        place.problem("is not Markdown, or is empty");
    }
}
