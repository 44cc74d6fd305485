//! Pages for people: the list of services, one service, and their style.

use axum::extract::{Path, State};

use super::answer::{Answer, Kind, Wants};
use super::query::Query;
use super::refusal::Refusal;
use super::{Api, now};
use crate::discovery::Service;
use crate::figures;
use crate::page::{self, list, service};

/// More pages than there can be.
const LAST_PAGE: usize = 100_000;

/// The list of services, those that need someone first.
pub(super) async fn list(State(api): State<Api>, wants: Wants, query: Query) -> Result<Answer, Refusal> {
    query.only(&["q", "namespace", "state", "page"])?;
    let asked = list::Asked { filter: query.filter()?, page: query.whole("page", 1, LAST_PAGE)? };
    let refused = api.refused_writers(now());
    api.heavy(move |engine| async move {
        let incidents = engine.pressing_incidents().await?;
        let snapshot = engine.snapshot();
        let services = list::Services::of(&snapshot.figures(), &asked);
        let warnings = refused.into_iter().chain(snapshot.warnings.iter().cloned()).collect();
        let input = figures::input(&snapshot.tally);
        let model = list::List { asked: &asked, services, incidents: &incidents, input, warnings };
        Ok(Answer::new(Kind::Html, list::render(&model).into_string().into_bytes(), &wants))
    })
    .await
}

/// One service.
pub(super) async fn service(
    State(api): State<Api>,
    wants: Wants,
    query: Query,
    Path((namespace, name)): Path<(String, String)>,
) -> Result<Answer, Refusal> {
    query.only(&[])?;
    shown(&api, Service::Named { namespace, name }, wants).await
}

/// A service without a namespace: `unattributed`, or a raw name.
pub(super) async fn raw_service(
    State(api): State<Api>,
    wants: Wants,
    query: Query,
    Path(name): Path<String>,
) -> Result<Answer, Refusal> {
    query.only(&[])?;
    shown(&api, Service::parse(&name), wants).await
}

async fn shown(api: &Api, wanted: Service, wants: Wants) -> Result<Answer, Refusal> {
    api.heavy(move |engine| async move {
        let (window, found) = engine.with_figures(|figures| (figures.window(), figures.one(&wanted)));
        let Some((view, details)) = found else {
            return Err(Refusal::not_found(format!(
                "there is no service {:?}: the page lists them",
                wanted.to_string()
            )));
        };
        let mut incidents = engine.incidents().await?;
        incidents.retain(|incident| incident.alert.service == view.service);
        let model = service::One { window: &window, view: &view, details: &details, incidents: &incidents };
        Ok(Answer::new(Kind::Html, service::render(&model).into_string().into_bytes(), &wants))
    })
    .await
}

/// The style of all pages.
pub(super) async fn style(wants: Wants) -> Answer {
    Answer::new(Kind::Css, page::STYLE.as_bytes().to_vec(), &wants)
}
