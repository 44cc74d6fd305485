//! What the engine shows of itself.

use std::collections::BTreeSet;

use super::{Engine, EngineError};
use crate::cluster::Name;
use crate::discovery::Service;
use crate::figures;
use crate::overview::{AlertView, Detail, IncidentView, NoticeView, Overview, PageModel};
use crate::snapshot::Snapshot;
use crate::store::alerts::{self as store_alerts, IncidentQuery};
use crate::store::counts as store_counts;

/// Incidents that a page counts: those that are open, and the newest that are over.
const OPEN_INCIDENTS: u32 = 200;
const PAST_INCIDENTS: u32 = 21;

/// Incidents that an overview lists.
const OVERVIEW_INCIDENTS: u32 = 1000;

impl Engine {
    /// Every service with its budgets, every alert, and the books of the input.
    pub async fn overview(&self) -> Result<Overview, EngineError> {
        Ok(overview(&self.snapshot(), &self.incidents().await?))
    }

    /// Every SLO with its charts.
    pub fn details(&self) -> Vec<Detail> {
        self.with_figures(|figures| figures.details())
    }

    /// Streams that people should look at: path, lines, and why it could not be read to its end (nothing: it held lines but
    /// no request).
    pub async fn curious_streams(&self) -> Result<Vec<(String, u64, Option<String>)>, EngineError> {
        let mut tx = self.store.read().await?;
        Ok(store_counts::curious_streams(&mut tx).await?)
    }

    /// Incidents, newest first; of very many the newest ones.
    pub async fn incidents(&self) -> Result<Vec<IncidentView>, EngineError> {
        self.some_incidents(&IncidentQuery { limit: Some(OVERVIEW_INCIDENTS), ..IncidentQuery::default() })
            .await
    }

    /// Some incidents, newest first.
    pub async fn some_incidents(&self, query: &IncidentQuery) -> Result<Vec<IncidentView>, EngineError> {
        let mut tx = self.store.read().await?;
        let incidents = store_alerts::some_incidents(&mut tx, query).await?;
        let notices = store_alerts::notices(&mut tx, &incidents).await?;
        let view = |incident: &alerts::Incident| incident_view(incident, &notices);
        Ok(incidents.iter().map(view).collect())
    }

    /// At most `limit` incidents older than the one that is named, newest first, of those that are open or not; nothing where
    /// there is no incident of that name.
    pub async fn incidents_before(
        &self,
        before: Option<&str>,
        open: Option<bool>,
        limit: usize,
    ) -> Result<Option<Vec<IncidentView>>, EngineError> {
        let mut tx = self.store.read().await?;
        let before = match before {
            None => None,
            Some(id) => match store_alerts::place_of(&mut tx, id).await? {
                None => return Ok(None),
                place => place,
            },
        };
        drop(tx);
        let limit = Some(u32::try_from(limit).unwrap_or(u32::MAX));
        self.some_incidents(&IncidentQuery { before, limit, open }).await.map(Some)
    }

    /// Incidents that are open, and the newest ones that are over, newest first: what a page has place for.
    pub async fn pressing_incidents(&self) -> Result<Vec<IncidentView>, EngineError> {
        let of = |open, limit| IncidentQuery { open: Some(open), limit: Some(limit), before: None };
        let mut incidents = self.some_incidents(&of(true, OPEN_INCIDENTS)).await?;
        incidents.extend(self.some_incidents(&of(false, PAST_INCIDENTS)).await?);
        incidents.sort_by(|a, b| (&b.alert.fired_at, &b.id).cmp(&(&a.alert.fired_at, &a.id)));
        Ok(incidents)
    }

    /// Everything that the page shows.
    pub async fn page_model(&self) -> Result<PageModel, EngineError> {
        let incidents = self.incidents().await?;
        let snapshot = self.snapshot();
        let details = snapshot.figures().details();
        Ok(PageModel { overview: overview(&snapshot, &incidents), details, incidents })
    }

    /// Services of which requests were counted.
    pub fn counted_services(&self) -> BTreeSet<Name> {
        self.with_figures(|figures| {
            let named = |service: &Service| match service {
                Service::Named { namespace, name } => Some((namespace.clone(), name.clone())),
                Service::Ambiguous(_) | Service::Unattributed => None,
            };
            figures.counts.counted().filter_map(|(service, ..)| named(service)).collect()
        })
    }
}

fn overview(snapshot: &Snapshot, incidents: &[IncidentView]) -> Overview {
    let figures = snapshot.figures();
    Overview {
        window: figures.window(),
        services: figures.services(),
        alerts: incidents.iter().rev().map(|incident| incident.alert.clone()).collect(),
        input: figures::input(&snapshot.tally),
        warnings: snapshot.warnings.clone(),
    }
}

fn incident_view(incident: &alerts::Incident, notices: &[store_alerts::Notice]) -> IncidentView {
    let label = |name: &str| incident.alert.labels.get(name).cloned().unwrap_or_default();
    let ours = notices.iter().filter(|notice| notice.intent.incident == incident.id);
    let notified = ours.map(|notice| NoticeView {
        id: notice.intent.id.to_string(),
        kind: notice.intent.kind.as_str().to_owned(),
        target: notice.intent.target.clone(),
        channel: notice.intent.channel.to_string(),
        at: figures::instant(notice.intent.created_at),
        delivered: notice.delivered,
    });
    IncidentView {
        id: incident.id.to_string(),
        alert: AlertView {
            service: label("service"),
            slo: label("slo"),
            severity: match incident.alert.severity {
                alerts::Severity::Page => "page".to_owned(),
                alerts::Severity::Ticket => "ticket".to_owned(),
            },
            fired_at: figures::instant(incident.opened_at),
            resolved_at: incident.resolved_at.map(figures::instant),
        },
        acknowledged_at: incident.acknowledged.as_ref().map(|taken| figures::instant(taken.at)),
        summary: incident.alert.summary.clone(),
        notified: notified.collect(),
    }
}
