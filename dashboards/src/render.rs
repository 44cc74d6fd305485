//! Services to saved objects: data views, saved searches, dashboards.

use std::collections::BTreeMap;

use crate::board::{overview, service};
use crate::object::{Kind, SavedObject, Scope, ndjson};
use crate::service::ServiceDashboard;
use crate::view::View;

/// A dashboard with everything that it needs beside other dashboards: to be imported by itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Export {
    /// File name without ending: letters, digits and dashes.
    pub name: String,
    /// Its objects, what is needed first.
    pub objects: Vec<SavedObject>,
}

/// Data views, saved searches and dashboards, what is needed first: the same bytes for the same services in any order.
/// Of services with one name the last holds.
pub fn render(input: &[ServiceDashboard], environment: &str, space: &str) -> Vec<SavedObject> {
    let scope = Scope { space, environment };
    let mut objects: Vec<SavedObject> = View::ALL.iter().map(|view| view.object(scope)).collect();
    let services: BTreeMap<&str, &ServiceDashboard> =
        input.iter().map(|service| (service.service.as_str(), service)).collect();
    let links: Vec<(&str, String)> =
        services.values().map(|it| (it.title(), service::id(&it.service, scope))).collect();
    objects.push(overview::overview(&links, scope));
    objects.extend(services.values().flat_map(|service| service::objects(service, scope)));
    // Stable: the overview stays the first dashboard, the others stay sorted by service.
    objects.sort_by_key(|object| object.kind);
    objects
}

/// What [`render`] gives, in the same order, but one by one: there is never more than one service's in memory.
pub fn each<'a>(
    input: &'a [ServiceDashboard],
    environment: &'a str,
    space: &'a str,
) -> impl Iterator<Item = SavedObject> + use<'a> {
    let scope = Scope { space, environment };
    let services: BTreeMap<&str, &ServiceDashboard> =
        input.iter().map(|service| (service.service.as_str(), service)).collect();
    let links: Vec<(&str, String)> =
        services.values().map(|it| (it.title(), service::id(&it.service, scope))).collect();
    let board = std::iter::once_with(move || overview::overview(&links, scope));
    let services: Vec<&ServiceDashboard> = services.into_values().collect();
    let views = View::ALL.iter().map(move |view| view.object(scope));
    // Twice over the services is what it costs to have everything that is needed stand first.
    views.chain(of_kind(services.clone(), scope, Kind::Search)).chain(board).chain(of_kind(
        services,
        scope,
        Kind::Dashboard,
    ))
}

fn of_kind<'a>(
    services: Vec<&'a ServiceDashboard>,
    scope: Scope<'a>,
    kind: Kind,
) -> impl Iterator<Item = SavedObject> + use<'a> {
    let objects = move |service| service::objects(service, scope);
    services.into_iter().flat_map(objects).filter(move |object| object.kind == kind)
}

impl Export {
    /// Each dashboard of `objects` by itself, with all data views and its own saved searches.
    pub fn each(objects: &[SavedObject]) -> Vec<Self> {
        use Kind::{Dashboard, DataView};
        let views = || objects.iter().filter(|object| object.kind == DataView);
        let boards = objects.iter().filter(|object| object.kind == Dashboard);
        let export = |board: &SavedObject| {
            let needs = |object: &&SavedObject| {
                object.kind != DataView
                    && object.kind != Dashboard
                    && board.references.iter().any(|reference| reference.id == object.id)
            };
            let own = objects.iter().filter(needs);
            let objects = views().chain(own).cloned().chain([board.clone()]).collect();
            Self { name: file_name(board), objects }
        };
        boards.map(export).collect()
    }

    /// As Kibana imports it.
    pub fn ndjson(&self) -> String {
        ndjson(&self.objects)
    }
}

/// The title in letters that every file system takes, and enough of the id to be the only one.
fn file_name(board: &SavedObject) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let title: String = board.title().chars().map(plain).take(80).collect();
    let words: Vec<&str> = title.split('-').filter(|word| !word.is_empty()).collect();
    format!("{}-{}", words.join("-"), &board.id[..8])
}

#[cfg(test)]
mod tests;
