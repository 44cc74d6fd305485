//! Incidents that are told through a real Alertmanager: active as long as they are open, over when they are over.

use std::path::Path;
use std::sync::Arc;

use alerts::{
    Alert, Alertmanager as Notifier, AlertmanagerConfig, ChannelName, Command, Dispatcher, Escalations,
    Input, Notifiers, Policies, PoliciesConfig, Severity,
};
use anyhow::{Context, Result};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use slo_engine::store::{Store, alerts as outbox, commit};
use tests::program::eventually;
use tests::servers::{Alertmanager, Inbox};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

/// A sender over the engine's real store, by the wall clock.
struct Sender {
    store: Store,
    wake: Arc<Notify>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Sender {
    async fn start(dir: &Path, alertmanager: &Alertmanager) -> Result<Self> {
        let config = AlertmanagerConfig {
            url: Some(alertmanager.url().to_owned()),
            resolve_after: Some(SignedDuration::from_secs(3)),
            repost_every: Some(SignedDuration::from_secs(1)),
            ..AlertmanagerConfig::default()
        };
        let notifier = Notifier::build(config).map_err(|errors| anyhow::anyhow!("{errors:?}"))?;
        let notifiers: Notifiers =
            [("alertmanager".into(), alerts::Notifier::Alertmanager(notifier))].into_iter().collect();
        let store = Store::open(&dir.join("engine.db")).await?;
        let dispatcher = Dispatcher::new(store.clone(), Arc::new(notifiers));
        let (wake, (stop, stopped)) = (Arc::new(Notify::new()), oneshot::channel());
        let woken = Arc::clone(&wake);
        let task = tokio::spawn(async move { dispatcher.run(&woken, async { drop(stopped.await) }).await });
        Ok(Self { store, wake, stop, task })
    }

    /// Commits what follows from `input`, as the engine does.
    async fn commit(&self, machine: &mut Escalations, input: Input) -> Result<()> {
        machine.handle(input, now());
        let mut tx = self.store.begin().await?;
        while let Some(command) = machine.next_command() {
            if let Command::Notify(intent) = command {
                outbox::put_intent(&mut tx, &intent).await?;
            }
        }
        commit(tx).await?;
        self.wake.notify_one();
        Ok(())
    }

    async fn stop(self) -> Result<()> {
        let _ = self.stop.send(());
        self.task.await?;
        self.store.close().await;
        Ok(())
    }
}

fn policies() -> Result<Policies> {
    let proven = PoliciesConfig::default().prove(&[ChannelName::from("alertmanager")]);
    proven.map_err(|errors| anyhow::anyhow!("{errors:?}"))
}

fn alert() -> Alert {
    let labels = [("service".to_owned(), "shop/web".to_owned())].into();
    Alert { key: "shop.web.availability".into(), severity: Severity::Page, summary: "burns".into(), labels }
}

#[expect(clippy::disallowed_methods, reason = "an Alertmanager lives in the time of the wall clock")]
fn now() -> Timestamp {
    Timestamp::now()
}

fn time(alert: &Value, name: &str) -> Result<Timestamp> {
    Ok(alert[name].as_str().with_context(|| format!("no {name} in {alert}"))?.parse()?)
}

/// Looks until `until`: the alert is active each time.
async fn stays_active(alertmanager: &Alertmanager, until: Timestamp) -> Result<()> {
    eventually("the time is over", async || {
        let alerts = alertmanager.alerts().await?;
        anyhow::ensure!(alerts.len() == 1, "one active alert is wanted: {alerts:?}");
        Ok(now() > until)
    })
    .await
}

async fn becomes_active(alertmanager: &Alertmanager) -> Result<Value> {
    eventually("the alert is active", async || Ok(!alertmanager.alerts().await?.is_empty())).await?;
    let alerts = alertmanager.alerts().await?;
    alerts.into_iter().next().context("the alert ended at once")
}

/// The state of each notification that Alertmanager sent on, and the one alert in it.
fn told(inbox: &Inbox) -> Vec<(String, Value)> {
    let told = inbox.received().into_iter();
    told.map(|told| (told.body["status"].as_str().unwrap_or("").to_owned(), told.body["alerts"][0].clone()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incidents_alert_outlives_its_end_and_restarts_of_both_sides_and_ends_with_the_incident()
-> Result<()> {
    let inbox = Inbox::start().await?;
    let Some(mut alertmanager) = Alertmanager::start(Some(inbox.url())).await? else { return Ok(()) };
    let dir = tempfile::tempdir()?;
    let mut machine = Escalations::new(policies()?);
    let sender = Sender::start(dir.path(), &alertmanager).await?;
    sender.commit(&mut machine, Input::Fire(alert())).await?;

    let first = becomes_active(&alertmanager).await?;
    let incident = machine.incidents().next().context("no incident")?.clone();
    assert_eq!(first["labels"]["dedup_key"], incident.id.0.as_str());
    assert_eq!(first["labels"]["service"], "shop/web");
    stays_active(&alertmanager, time(&first, "endsAt")? + SignedDuration::from_secs(2)).await?;

    // The sender is started anew: the alert goes on, as the same one.
    sender.stop().await?;
    let sender = Sender::start(dir.path(), &alertmanager).await?;
    let again = now();
    stays_active(&alertmanager, again + SignedDuration::from_secs(4)).await?;
    let later = becomes_active(&alertmanager).await?;
    assert_eq!((&later["fingerprint"], &later["startsAt"]), (&first["fingerprint"], &first["startsAt"]));

    // Alertmanager forgets its alerts when it is down, and is told anew.
    alertmanager.stop().await?;
    alertmanager.start_again().await?;
    let later = becomes_active(&alertmanager).await?;
    assert_eq!(later["fingerprint"], first["fingerprint"]);

    sender.commit(&mut machine, Input::Resolve { key: alert().key }).await?;
    eventually("the alert is over", async || Ok(alertmanager.alerts().await?.is_empty())).await?;
    eventually("the end is told", async || Ok(told(&inbox).iter().any(|(status, _)| status == "resolved")))
        .await?;
    let over = now();
    eventually("two reposts' time is over", async || {
        let alerts = alertmanager.alerts().await?;
        anyhow::ensure!(alerts.is_empty(), "posted after its end: {alerts:?}");
        Ok(now() > over + SignedDuration::from_secs(2))
    })
    .await?;
    let told = told(&inbox);
    let (last, ends) = told.split_last().context("nothing was told")?;
    assert_eq!(last.0, "resolved");
    assert!(ends.iter().all(|(status, _)| status == "firing"), "told to be over before it was: {told:?}");
    assert!(time(&last.1, "startsAt")? == incident.opened_at, "{last:?}");
    sender.stop().await
}
