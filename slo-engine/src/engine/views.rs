//! What the engine shows of itself.

use super::{Engine, EngineError};
use crate::figures::{self, Figures};
use crate::overview::{AlertView, Detail, IncidentView, InputView, NoticeView, Overview};
use crate::page::PageModel;
use crate::store::{alerts as store_alerts, counts as store_counts};

impl Engine {
    /// Every service with its budgets, every alert, and the books of the input.
    pub async fn overview(&self) -> Result<Overview, EngineError> {
        Ok(self.page_model().await?.overview)
    }

    /// Every SLO with its charts.
    pub async fn details(&self) -> Result<Vec<Detail>, EngineError> {
        Ok(self.page_model().await?.details)
    }

    /// Streams that people should look at: path, lines, and why it could not be read to its end (nothing: it held lines but
    /// no request).
    pub async fn curious_streams(&self) -> Result<Vec<(String, u64, Option<String>)>, EngineError> {
        let mut tx = self.store.begin().await?;
        Ok(store_counts::curious_streams(&mut tx).await?)
    }

    /// Incidents, newest first.
    pub async fn incidents(&self) -> Result<Vec<IncidentView>, EngineError> {
        let mut tx = self.store.begin().await?;
        let incidents = store_alerts::incidents(&mut tx).await?;
        let notices = store_alerts::notices(&mut tx).await?;
        let view = |incident: &alerts::Incident| incident_view(incident, &notices);
        Ok(incidents.iter().rev().map(view).collect())
    }

    /// The books of the input, and what keeps the cluster from saying more.
    pub async fn books(&self) -> Result<(InputView, Vec<String>), EngineError> {
        let mut tx = self.store.begin().await?;
        let tally = store_counts::tally(&mut tx).await?;
        drop(tx);
        Ok((figures::input(&tally), self.fresh_state().await?.warnings()))
    }

    /// Everything that the page shows.
    pub async fn page_model(&self) -> Result<PageModel, EngineError> {
        let incidents = self.incidents().await?;
        let mut state = self.fresh_state().await?;
        let mut tx = self.store.begin().await?;
        let tally = store_counts::tally(&mut tx).await?;
        drop(tx);
        let now = state.judged_to.or(state.counts.read_to()).unwrap_or_default();
        state.counts.settle(now);
        let firing = state.firing();
        let figures = Figures { counts: &state.counts, specs: &state.specs, now, firing: &firing };
        let overview = Overview {
            window: figures.window(),
            services: figures.services(),
            alerts: incidents.iter().rev().map(|incident| incident.alert.clone()).collect(),
            input: figures::input(&tally),
            warnings: state.warnings(),
        };
        Ok(PageModel { overview, details: figures.details(), incidents })
    }

    /// Runs `show` over the settled figures.
    pub async fn with_figures<T>(&self, show: impl FnOnce(&Figures<'_>) -> T) -> Result<T, EngineError> {
        let mut state = self.fresh_state().await?;
        let now = state.judged_to.or(state.counts.read_to()).unwrap_or_default();
        state.counts.settle(now);
        let firing = state.firing();
        Ok(show(&Figures { counts: &state.counts, specs: &state.specs, now, firing: &firing }))
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
