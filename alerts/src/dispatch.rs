//! The dispatcher: drains the outbox through the notifiers and decides what becomes of a message that was not taken.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::id::{IntentId, digest};
use crate::intent::{Intent, Kind};
use crate::notifier::{Notifiers, SendError};
use crate::outbox::{Outbox, Pending};

/// Messages that are in flight at the same time.
const IN_FLIGHT: usize = 32;
/// A message that its last channel refuses for good is tried this long, since an operator may mend the channel.
const REFUSED_FOR: SignedDuration = SignedDuration::from_hours(72);
/// The driver looks at least this often, and waits this long after an error of the outbox.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Waiting times between attempts: doubled from `first` to `cap`, of which the id decides between half and all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Before the second attempt.
    pub first: SignedDuration,
    /// At most, unless the receiver asks for more.
    pub cap: SignedDuration,
    /// At most, even if the receiver asks for more.
    pub retry_after_cap: SignedDuration,
}

/// Sends what is due.
#[derive(Clone, Debug)]
pub struct Dispatcher<O> {
    outbox: O,
    notifiers: Arc<RwLock<Arc<Notifiers>>>,
    backoff: Backoff,
    watcher: Option<fn(&Attempt<'_>)>,
}

/// One message that was sent once, as a watcher hears of it.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// What was sent.
    pub intent: &'a Intent,
    /// The receiver had it already.
    pub refresh: bool,
    /// How often it was put off before.
    pub attempts: u32,
    /// When it was sent, by the wall clock.
    pub begun: Timestamp,
    /// When it was answered, or not.
    pub ended: Timestamp,
    /// Why it was not taken.
    pub error: Option<&'a SendError>,
}

/// What one drain did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DrainReport {
    /// Messages that a receiver took.
    pub delivered: u64,
    /// Messages that a receiver was told once more, so that it does not take the incident for over.
    pub refreshed: u64,
    /// Attempts that were put off.
    pub retried: u64,
    /// Messages that were refused for good and went to the next channel.
    pub refused: u64,
    /// Messages that no channel took: lost, and logged as an error.
    pub dead: u64,
    /// Messages that had nothing to say any more.
    pub superseded: u64,
    /// When something is due next; `None` when nothing is pending.
    pub next: Option<Timestamp>,
}

impl<O: Outbox> Dispatcher<O> {
    /// A dispatcher with the default back-off: 1 s doubled up to 5 min, `Retry-After` honoured up to 1 h.
    pub fn new(outbox: O, notifiers: Arc<Notifiers>) -> Dispatcher<O> {
        let notifiers = Arc::new(RwLock::new(notifiers));
        Dispatcher { outbox, notifiers, backoff: Backoff::default(), watcher: None }
    }

    /// Takes other notifiers, for this dispatcher and its clones. Nothing is sent by that, and what is on its way goes
    /// the way it began.
    pub fn set_notifiers(&self, notifiers: Arc<Notifiers>) {
        *self.notifiers.write().unwrap_or_else(PoisonError::into_inner) = notifiers;
    }

    fn notifiers(&self) -> Arc<Notifiers> {
        Arc::clone(&self.notifiers.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The same, with `watcher` told of every attempt.
    pub fn watched(self, watcher: fn(&Attempt<'_>)) -> Dispatcher<O> {
        Dispatcher { watcher: Some(watcher), ..self }
    }

    /// Sends until nothing is due at `now`.
    ///
    /// # Errors
    /// An error of the outbox. Nothing is lost: what was sent but not settled is sent again under the same id.
    pub async fn drain_once(&self, now: Timestamp) -> anyhow::Result<DrainReport> {
        let mut report = DrainReport::default();
        while self.send_batch(now, &mut report).await? > 0 {}
        report.next = self.outbox.next_attempt_at().await?;
        Ok(report)
    }

    /// Sends for ever, by the wall clock, until `stop` is ready. What is in flight then is still settled. Notify `wake`
    /// after each commit to the outbox.
    pub async fn run(&self, wake: &Notify, stop: impl Future<Output = ()>) {
        let mut stop = pin!(stop);
        loop {
            let wait = self.run_batch().await.unwrap_or_else(|error| {
                tracing::error!(error = format!("{error:#}"), "cannot drain the outbox; it is tried again");
                LOOK_EVERY
            });
            tokio::select! {
                biased;
                () = &mut stop => return,
                () = wake.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// One batch, and how long to wait for the next.
    async fn run_batch(&self) -> anyhow::Result<Duration> {
        if self.send_batch(wall_clock(), &mut DrainReport::default()).await? > 0 {
            return Ok(Duration::ZERO);
        }
        let Some(next) = self.outbox.next_attempt_at().await? else { return Ok(LOOK_EVERY) };
        Ok(Duration::try_from(next.duration_since(wall_clock())).unwrap_or_default().min(LOOK_EVERY))
    }

    /// Sends what is due, at most one message a lane; says how many it was. Each is settled as soon as it is answered.
    async fn send_batch(&self, now: Timestamp, report: &mut DrainReport) -> anyhow::Result<usize> {
        let due = self.outbox.due(now, IN_FLIGHT).await?;
        let count = due.len();
        let mut sending = JoinSet::new();
        let mut pending = HashMap::new();
        for entry in due {
            if self.is_void(&entry) {
                self.outbox.superseded(&entry.intent.id, now).await?;
                report.superseded += 1;
                continue;
            }
            if entry.refresh && self.notifiers().refresh_every(&entry.intent).is_none() {
                // The channel was taken away, or is of another kind by now.
                self.outbox.delivered(&entry.intent.id, None, now).await?;
                continue;
            }
            let (notifiers, intent) = (self.notifiers(), entry.intent.clone());
            let task = sending.spawn(async move { notifiers.send(&intent, now).await });
            pending.insert(task.id(), (entry, self.watcher.map(|_| wall_clock())));
        }
        while let Some(joined) = sending.join_next_with_id().await {
            let (task, answer) = joined.unwrap_or_else(|panic| {
                (
                    panic.id(),
                    Err(SendError::Retry { after: None, reason: format!("the notifier failed: {panic}") }),
                )
            });
            if let Some((entry, begun)) = pending.remove(&task) {
                self.tell(&entry, begun, answer.as_ref().err());
                self.settle(&entry, answer, now, report).await?;
            }
        }
        Ok(count)
    }

    fn tell(&self, entry: &Pending, begun: Option<Timestamp>, error: Option<&SendError>) {
        if let (Some(watcher), Some(begun)) = (self.watcher, begun) {
            let Pending { intent, refresh, attempts, .. } = entry;
            let (refresh, attempts) = (*refresh, *attempts);
            watcher(&Attempt { intent, refresh, attempts, begun, ended: wall_clock(), error });
        }
    }

    /// Whether there is nothing to say: the receiver never heard that it began, or does not know this kind of message.
    fn is_void(&self, entry: &Pending) -> bool {
        let unheard = entry.intent.kind != Kind::Trigger && !entry.opened;
        unheard || !self.notifiers().says(&entry.intent)
    }

    async fn settle(
        &self,
        entry: &Pending,
        answer: Result<(), SendError>,
        now: Timestamp,
        report: &mut DrainReport,
    ) -> anyhow::Result<()> {
        let intent = &entry.intent;
        let every = self.notifiers().refresh_every(intent);
        match answer {
            Ok(()) => {
                *(if entry.refresh { &mut report.refreshed } else { &mut report.delivered }) += 1;
                self.outbox.delivered(&intent.id, every.map(|every| later(now, every)), now).await
            }
            Err(SendError::Retry { after, reason }) => {
                let delay = self.backoff.delay(&intent.id, entry.attempts, after);
                // A refresh has a deadline: the receiver takes the incident for over if it waits for long.
                let delay =
                    every.filter(|_| entry.refresh && after.is_none()).map_or(delay, |it| it.min(delay));
                self.put_off(entry, now, delay, &reason, report).await
            }
            // It was told, so no other channel is. A token can be mended.
            Err(SendError::Refused { reason }) if entry.refresh => {
                self.put_off(entry, now, every.unwrap_or(self.backoff.cap), &reason, report).await
            }
            Err(SendError::Refused { reason }) => self.refused(entry, &reason, now, report).await,
        }
    }

    async fn put_off(
        &self,
        entry: &Pending,
        now: Timestamp,
        delay: SignedDuration,
        reason: &str,
        report: &mut DrainReport,
    ) -> anyhow::Result<()> {
        report.retried += 1;
        let intent = &entry.intent;
        let at = later(now, delay);
        tracing::warn!(
            intent = %intent.id, channel = %intent.channel, target_name = intent.target, attempts = entry.attempts + 1,
            next_attempt_at = %at, reason, "a notification was not taken; it is sent again"
        );
        self.outbox.retry_at(&intent.id, at, reason).await
    }

    async fn refused(
        &self,
        entry: &Pending,
        reason: &str,
        now: Timestamp,
        report: &mut DrainReport,
    ) -> anyhow::Result<()> {
        let intent = &entry.intent;
        let next = intent.next_channel();
        if next.is_none() && now.duration_since(intent.created_at) < REFUSED_FOR {
            return self.put_off(entry, now, self.backoff.cap, reason, report).await;
        }
        if let Some(next) = &next {
            report.refused += 1;
            tracing::warn!(
                intent = %intent.id, channel = %intent.channel, next = %next.channel, reason,
                "a channel refused a notification; the next channel is tried"
            );
        } else {
            report.dead += 1;
            tracing::error!(
                intent = %intent.id, channel = %intent.channel, target_name = intent.target, reason,
                "no channel took a notification; it is given up, mend the channel"
            );
        }
        self.outbox.refused(&intent.id, next.as_ref(), reason, now).await
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Backoff {
            first: SignedDuration::from_secs(1),
            cap: SignedDuration::from_mins(5),
            retry_after_cap: SignedDuration::from_hours(1),
        }
    }
}

impl Backoff {
    /// How long to wait after `attempts` earlier attempts; at least what the receiver asked for, in its limits.
    pub fn delay(&self, id: &IntentId, attempts: u32, after: Option<SignedDuration>) -> SignedDuration {
        let doubled = 2i32.checked_pow(attempts).and_then(|factor| self.first.checked_mul(factor));
        let whole = doubled.unwrap_or(self.cap).min(self.cap);
        let asked = after.unwrap_or_default().min(self.retry_after_cap);
        jittered(whole, id, attempts).max(asked)
    }
}

/// Between half of `whole` and `whole`, spread over ids and attempts, and the same whenever it is computed.
fn jittered(whole: SignedDuration, id: &IntentId, attempts: u32) -> SignedDuration {
    let hash = digest(&[&id.0, &attempts.to_string()]);
    let share = i32::from_str_radix(&hash[..4], 16).unwrap_or(0);
    let half = whole / 2;
    half + half.checked_mul(share).map_or(half, |product| product / 0xffff)
}

fn later(now: Timestamp, delay: SignedDuration) -> Timestamp {
    now.checked_add(delay).unwrap_or(Timestamp::MAX)
}

#[expect(clippy::disallowed_methods, reason = "the driver of the dispatcher is where the clock is read")]
fn wall_clock() -> Timestamp {
    Timestamp::now()
}
