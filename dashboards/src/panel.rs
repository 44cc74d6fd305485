//! Panels and the dashboard that holds them, as Kibana keeps them.

use serde_json::{Value, json};

use crate::lens::Lens;
use crate::object::{Kind, Reference, SavedObject, Scope, text};

/// Columns of the grid.
pub const COLUMNS: u64 = 48;

/// A panel.
#[derive(Clone, Debug)]
pub(crate) struct Panel {
    /// Name within its dashboard.
    pub(crate) id: String,
    /// What stands above it.
    pub(crate) title: String,
    /// Where it is.
    pub(crate) grid: Grid,
    /// What is in it.
    pub(crate) content: Content,
}

/// A place on the dashboard: from the left and the top, width and height.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grid {
    pub(crate) x: u64,
    pub(crate) y: u64,
    pub(crate) w: u64,
    pub(crate) h: u64,
}

/// What a panel holds.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// A chart.
    Lens(Box<Lens>),
    /// Text.
    Markdown(String),
    /// Ways to other dashboards and pages.
    Links(Layout, Vec<Link>),
    /// A list of documents: the id of its saved search.
    Search(String),
}

/// How links stand beside each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    Horizontal,
    Vertical,
}

/// A way elsewhere.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    /// What readers see.
    pub(crate) label: String,
    /// Where it leads.
    pub(crate) to: Target,
}

/// Where a link leads.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// A dashboard, by its id.
    Dashboard(String),
    /// A page elsewhere.
    Url(String),
}

/// What is said of a dashboard.
pub(crate) struct Heading<'a> {
    /// What it is about: part of its id.
    pub(crate) name: &'a str,
    pub(crate) title: String,
    pub(crate) description: &'a str,
}

impl Grid {
    pub(crate) const fn new(x: u64, y: u64, w: u64, h: u64) -> Self {
        Self { x, y, w, h }
    }
}

impl Panel {
    pub(crate) fn new(id: impl Into<String>, title: impl Into<String>, grid: Grid, content: Content) -> Self {
        Self { id: id.into(), title: title.into(), grid, content }
    }

    /// As it stands in `panelsJSON`, and what it needs, named as within the dashboard.
    fn json(&self, scope: Scope<'_>) -> (Value, Vec<Reference>) {
        let Grid { x, y, w, h } = self.grid;
        let mut panel = json!({
            "gridData": { "h": h, "i": self.id, "w": w, "x": x, "y": y },
            "panelIndex": self.id,
            "title": self.title,
        });
        let (kind, config, references) = self.content.json(&self.title, scope);
        panel["type"] = kind.into();
        panel["embeddableConfig"] = config;
        panel["embeddableConfig"]["enhancements"] = json!({});
        if let Content::Search(id) = &self.content {
            panel["panelRefName"] = format!("panel_{}", self.id).into();
            let name = format!("{0}:panel_{0}", self.id);
            return (panel, vec![Reference::new(name, Kind::Search, id.clone())]);
        }
        let prefixed = references.into_iter();
        let prefixed = prefixed.map(|it| Reference { name: format!("{}:{}", self.id, it.name), ..it });
        (panel, prefixed.collect())
    }
}

impl Content {
    fn json(&self, title: &str, scope: Scope<'_>) -> (&'static str, Value, Vec<Reference>) {
        match self {
            Self::Lens(lens) => {
                let (attributes, references) = lens.attributes(title, scope);
                ("lens", json!({ "attributes": attributes }), references)
            }
            Self::Markdown(text) => ("visualization", markdown(text), Vec::new()),
            Self::Links(layout, links) => {
                let (attributes, references) = self::links(*layout, links);
                ("links", json!({ "attributes": attributes }), references)
            }
            Self::Search(_) => ("search", json!({}), Vec::new()),
        }
    }
}

fn markdown(text: &str) -> Value {
    json!({
        "hidePanelTitles": true,
        "savedVis": {
            "data": { "aggs": [], "searchSource": { "filter": [], "query": { "language": "kuery", "query": "" } } },
            "description": "",
            "params": { "fontSize": 12, "markdown": text, "openLinksInNewTab": false },
            "title": "",
            "type": "markdown",
            "uiState": {},
        },
    })
}

fn links(layout: Layout, links: &[Link]) -> (Value, Vec<Reference>) {
    let mut references = Vec::new();
    let links = links.iter().enumerate().map(|(order, link)| {
        let id = order.to_string();
        let mut entry = json!({ "id": id, "label": link.label, "order": order });
        match &link.to {
            Target::Dashboard(dashboard) => {
                let name = format!("link_{id}_dashboard");
                entry["type"] = "dashboardLink".into();
                entry["destinationRefName"] = name.as_str().into();
                entry["options"] =
                    json!({ "openInNewTab": false, "useCurrentDateRange": true, "useCurrentFilters": false });
                references.push(Reference::new(name, Kind::Dashboard, dashboard.clone()));
            }
            Target::Url(url) => {
                entry["type"] = "externalLink".into();
                entry["destination"] = url.as_str().into();
                entry["options"] = json!({ "encodeUrl": false, "openInNewTab": true });
            }
        }
        entry
    });
    let links: Vec<Value> = links.collect();
    let layout = match layout {
        Layout::Horizontal => "horizontal",
        Layout::Vertical => "vertical",
    };
    (json!({ "layout": layout, "links": links }), references)
}

/// A dashboard over the last day that looks again every minute.
pub(crate) fn dashboard(heading: Heading<'_>, panels: &[Panel], scope: Scope<'_>) -> SavedObject {
    let (panels, references): (Vec<Value>, Vec<Vec<Reference>>) =
        panels.iter().map(|panel| panel.json(scope)).unzip();
    let options = json!({
        "hidePanelTitles": false, "syncColors": false, "syncCursor": true, "syncTooltips": false, "useMargins": true,
    });
    let source = json!({ "filter": [], "query": { "language": "kuery", "query": "" } });
    let attributes = json!({
        "description": heading.description,
        "kibanaSavedObjectMeta": { "searchSourceJSON": text(source) },
        "optionsJSON": text(options),
        "panelsJSON": text(panels.into()),
        "refreshInterval": { "pause": false, "value": 60_000 },
        "timeFrom": "now-24h",
        "timeRestore": true,
        "timeTo": "now",
        "title": heading.title,
        "version": 1,
    });
    let id = scope.id(Kind::Dashboard, heading.name);
    SavedObject {
        kind: Kind::Dashboard,
        id,
        attributes,
        references: references.into_iter().flatten().collect(),
    }
}
