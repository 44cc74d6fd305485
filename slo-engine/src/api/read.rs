//! Routes that read figures and incidents: each is worked out when its turn has come.

use axum::extract::{Path, State};

use super::answer::{Answer, Wants};
use super::query::Query;
use super::refusal::{Problem, Refusal};
use super::{Api, now};
use crate::overview::{Detail, IncidentView, Overview};

/// How many come where no limit is given.
const PAGE: usize = 100;

/// The most that can be asked for.
const LARGEST_PAGE: usize = 1000;

/// Every service with its budgets, every alert, and the books of the input.
#[utoipa::path(get, path = "/v1/overview", responses((status = 200, body = Overview), (status = 503, body = Problem)))]
pub(super) async fn overview(State(api): State<Api>, wants: Wants, query: Query) -> Result<Answer, Refusal> {
    query.only(&[])?;
    let refused = api.refused_writers(now());
    api.heavy(move |engine| async move {
        let mut overview = engine.overview().await?;
        overview.warnings.extend(refused);
        Ok(Answer::json(&overview, &wants))
    })
    .await
}

/// SLOs with their charts, by id, a page of them at a time; the header `Link` leads to the next one.
#[utoipa::path(get, path = "/v1/slos",
    params(
        ("limit" = Option<u32>, Query, description = "how many, 1 to 1,000; 100 without"),
        ("after" = Option<String>, Query, description = "id of the last SLO of the page before"),
        ("q" = Option<String>, Query, description = "text that the service's name holds"),
        ("namespace" = Option<String>, Query, description = "namespace of the service"),
        ("state" = Option<String>, Query, description = "exhausted, burning, healthy, idle or no_data"),
    ),
    responses((status = 200, body = Vec<Detail>), (status = 400, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn slos(State(api): State<Api>, wants: Wants, query: Query) -> Result<Answer, Refusal> {
    query.only(&["limit", "after", "q", "namespace", "state"])?;
    let (limit, filter) = (query.whole("limit", PAGE, LARGEST_PAGE)?, query.filter()?);
    api.heavy(move |engine| async move {
        let after = query.text("after");
        let (details, more) = engine.with_figures(|figures| figures.details_after(after, &filter, limit));
        let last = details.last().filter(|_| more);
        let next = last.map(|last| query.with("/v1/slos", "after", &last.id));
        Ok(Answer::json(&details, &wants).next(next))
    })
    .await
}

/// One SLO.
#[utoipa::path(get, path = "/v1/slos/{id}", params(("id" = String, Path, description = "`namespace.name.sli`")),
    responses((status = 200, body = Detail), (status = 404, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn slo(
    State(api): State<Api>,
    wants: Wants,
    query: Query,
    Path(id): Path<String>,
) -> Result<Answer, Refusal> {
    query.only(&[])?;
    api.heavy(move |engine| async move {
        let found = engine.with_figures(|figures| figures.detail_of(&id));
        let missing = || Refusal::not_found(format!("there is no SLO {id:?}: GET /v1/slos lists them"));
        Ok(Answer::json(&found.ok_or_else(missing)?, &wants))
    })
    .await
}

/// Incidents, newest first, with whom they were told to; a page of them at a time, `Link` leads to the next one.
#[utoipa::path(get, path = "/v1/incidents",
    params(
        ("limit" = Option<u32>, Query, description = "how many, 1 to 1,000; 100 without"),
        ("before" = Option<String>, Query, description = "id of the last incident of the page before"),
        ("open" = Option<bool>, Query, description = "true: only those that are open; false: only those that are over"),
    ),
    responses((status = 200, body = Vec<IncidentView>), (status = 400, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn incidents(State(api): State<Api>, wants: Wants, query: Query) -> Result<Answer, Refusal> {
    query.only(&["limit", "before", "open"])?;
    let (limit, open) = (query.whole("limit", PAGE, LARGEST_PAGE)?, query.flag("open")?);
    api.heavy(move |engine| async move {
        let before = query.text("before");
        let Some(mut incidents) = engine.incidents_before(before, open, limit + 1).await? else {
            let text =
                format!("before={before:?} is no incident: the header Link of a page leads to the next");
            return Err(Refusal::bad(text));
        };
        let more = incidents.len() > limit;
        incidents.truncate(limit);
        let last = incidents.last().filter(|_| more);
        let next = last.map(|last: &IncidentView| query.with("/v1/incidents", "before", &last.id));
        Ok(Answer::json(&incidents, &wants).next(next))
    })
    .await
}
