//! The task of a source: scan, read, hand on, wait; and to its end when it is asked to.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use telemetry::Readiness;
use tokio::io::AsyncRead;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::MissedTickBehavior;

use super::fan_out::FanOut;
use super::progress::ProgressSlot;
use crate::checkpoint::Checkpoints;
use crate::event::{Span, StreamId};
use crate::metrics::ComponentMetrics;
use crate::sink::Rewind;
use crate::source::chunk::Chunk;
use crate::source::stdin::Input;
use crate::source::tails::Tails;
use crate::traces;

/// Rounds after which files that grow without end are left to the next ones.
const ROUNDS: u32 = 20;

/// A round that lasts longer is ended, so that rotations are seen while there is much to read.
const LONGEST_ROUND_MS: i64 = 10_000;

/// How long the first look at the files waits for what the API server says of their pods.
const KNOWN_WITHIN: Duration = Duration::from_secs(10);

/// What a source is asked for.
pub(super) enum Command {
    /// Read all that is there and have it delivered, then answer.
    CatchUp(oneshot::Sender<()>),
    /// The same, last lines without a line end too; then stop.
    Drain(oneshot::Sender<()>),
}

/// What a source works with.
pub(super) struct Context {
    pub(super) name: String,
    pub(super) fan_out: FanOut,
    pub(super) checkpoints: Arc<Checkpoints>,
    pub(super) metrics: ComponentMetrics,
    pub(super) progress: ProgressSlot,
    pub(super) readiness: Readiness,
    /// The condition that the source has looked at its files.
    pub(super) looked: String,
    pub(super) commands: mpsc::UnboundedReceiver<Command>,
    pub(super) rewinds: mpsc::UnboundedReceiver<Rewind>,
    pub(super) stop: watch::Receiver<bool>,
}

/// The source's sinks are gone.
struct Stopped;

/// Follows files until told to stop.
pub(super) async fn follow(tails: Tails, interval: Duration, context: Context) {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stop = context.stop.clone();
    let mut following = Following { tails, context, gone_back: BTreeSet::new(), looked: false };
    // Being stopped is like a kill: what is on its way is read again by the next process.
    tokio::select! {
        biased;
        _ = stop.wait_for(|&stop| stop) => {}
        _ = following.run(&mut ticks) => {}
    }
}

struct Following {
    tails: Tails,
    context: Context,
    /// Streams to which it went back since the last scan.
    gone_back: BTreeSet<StreamId>,
    /// Files were looked for at least once.
    looked: bool,
}

/// How a round went.
struct Round {
    /// Something was read.
    any: bool,
    /// All that the look at the files found was read.
    whole: bool,
    /// A sink that was behind keeps up again.
    recovered: bool,
}

impl Following {
    async fn run(&mut self, ticks: &mut tokio::time::Interval) -> Result<(), Stopped> {
        self.wait_for_cluster().await;
        loop {
            let command = tokio::select! {
                biased;
                command = self.context.commands.recv() => command,
                Some(back) = self.context.rewinds.recv() => {
                    self.go_back(&back);
                    None
                }
                _ = ticks.tick() => None,
                () = self.context.fan_out.ready() => match self.resume()? {
                    true => None,
                    false => continue,
                },
            };
            match command {
                None => {
                    self.round().await?;
                }
                Some(Command::CatchUp(done)) => {
                    self.catch_up(ticks).await?;
                    let _ = done.send(());
                }
                Some(Command::Drain(done)) => {
                    self.tails.drain();
                    self.catch_up(ticks).await?;
                    let _ = done.send(());
                    return Ok(());
                }
            }
        }
    }

    /// Nobody waits for an API server that is away: its pods' events are flagged as long as it says nothing.
    async fn wait_for_cluster(&self) {
        let Some(cluster) = self.tails.cluster() else { return };
        if tokio::time::timeout(KNOWN_WITHIN, cluster.complete()).await.is_err() {
            tracing::warn!(source = self.context.name, missing = ?cluster.missing(),
                "the API server has not said everything within {KNOWN_WITHIN:?}; reading with what is known, \
                 events of other pods have kubernetes.enrichment \"partial\" until it does");
        }
    }

    async fn catch_up(&mut self, ticks: &mut tokio::time::Interval) -> Result<(), Stopped> {
        let mut rounds = 0;
        loop {
            // A round that read something may have uncovered a file to be read: a copy that took over, a file that differs.
            loop {
                let Round { any, whole, .. } = self.round().await?;
                rounds += u32::from(whole);
                if whole && (!any || rounds >= ROUNDS) {
                    break;
                }
            }
            let recovered = self.flush(ticks).await?;
            let back = self.context.rewinds.try_recv();
            if let Ok(back) = &back {
                self.go_back(back);
            }
            if back.is_err() && !recovered && !self.context.fan_out.is_behind() {
                return Ok(());
            }
        }
    }

    /// Waits until the sinks have delivered what they were handed; files are looked after meanwhile. Returns whether a sink
    /// that was behind came to be handed more.
    async fn flush(&mut self, ticks: &mut tokio::time::Interval) -> Result<bool, Stopped> {
        let mut flush = std::pin::pin!(self.context.fan_out.flush());
        let mut recovered = false;
        loop {
            tokio::select! {
                biased;
                flushed = &mut flush => return flushed.map(|()| recovered).map_err(|_| Stopped),
                _ = ticks.tick() => recovered |= self.round().await?.recovered,
            }
        }
    }

    fn go_back(&mut self, back: &Rewind) {
        self.context.fan_out.lower(back);
        self.tails.rewind(|id| back.positions.get(id).copied());
        self.gone_back.extend(back.positions.keys().cloned());
    }

    /// Says, after a scan, what of that to which it went back lies in no file any more.
    fn say_what_is_gone(&mut self) {
        let gone = self.tails.gone(&std::mem::take(&mut self.gone_back));
        if gone > 0 {
            tracing::warn!(
                source = self.context.name,
                streams = gone,
                "streams to be read again lie in no file any more; an engine gets them by its refill"
            );
        }
    }

    /// Gives sinks that were behind and are ready again what they lack, first from their spools; returns whether there is
    /// one that gets the rest from the files.
    fn resume(&mut self) -> Result<bool, Stopped> {
        // Before the first look, nobody knows what the files hold.
        if !self.looked {
            return Ok(true);
        }
        let tails = &self.tails;
        let recovered = self.context.fan_out.resume(|id| tails.has(id)).map_err(|_| Stopped)?;
        for (at, sent) in &recovered {
            let missing = self.tails.rewind(|id| Some(sent.get(id).copied().unwrap_or(0)));
            self.context.fan_out.missing(Some(*at), &missing);
        }
        Ok(!recovered.is_empty())
    }

    /// Looks at the files, and goes back for what a sink that is behind will not find in them later.
    fn look(&mut self, now_ms: i64) {
        self.tails.scan(now_ms);
        self.report_excluded();
        self.context.readiness.ready(&self.context.looked);
        self.say_what_is_gone();
        if !std::mem::replace(&mut self.looked, true) {
            self.context.fan_out.unfound(&self.tails.unfound());
        }
        self.context.fan_out.release();
        let plan = self.context.fan_out.plan(&self.tails.endings(), now_ms);
        self.tails.hold(plan.held);
        if !plan.back.is_empty() {
            let missing = self.tails.rewind(|id| plan.back.get(id).copied());
            self.context.fan_out.missing(None, &missing);
        }
    }

    /// Reads what a look at the files finds.
    async fn round(&mut self) -> Result<Round, Stopped> {
        let now_ms = now_ms();
        // A replay leaves to the files what they hold: at first they are looked at before.
        let first = !self.looked;
        let mut recovered = !first && self.resume()?;
        self.look(now_ms);
        recovered |= first && self.resume()?;
        self.report(0);
        let mut begun = telemetry::traces::now();
        let mut round = Round { any: false, whole: true, recovered };
        while !self.context.fan_out.is_idle() && round.whole {
            let Some(chunk) = self.tails.next_chunk() else { break };
            traces::read(&self.context.name, &chunk, begun);
            self.count_partial(&chunk);
            round.any |= chunk.batch.spans.iter().any(|span| span.start < span.end);
            let lines = chunk.lines();
            let events = chunk.batch.events.len() as u64;
            self.context.fan_out.hand_on(chunk, now_ms).await.map_err(|_| Stopped)?;
            self.context.metrics.received(events);
            self.context.metrics.sent(events);
            self.report(lines);
            begun = telemetry::traces::now();
            round.whole = self::now_ms() - now_ms < LONGEST_ROUND_MS;
        }
        self.report(0);
        if round.whole {
            self.context.fan_out.caught_up(now_ms).await.map_err(|_| Stopped)?;
        }
        Ok(round)
    }

    fn count_partial(&self, chunk: &Chunk) {
        let is_partial =
            |span: &&Span| span.stream.metadata.as_ref().is_some_and(|metadata| metadata.is_partial());
        let lines: u64 = chunk.batch.spans.iter().filter(is_partial).map(|span| span.lines).sum();
        if lines > 0 {
            self.context.metrics.not_annotated(lines);
        }
    }

    fn report_excluded(&mut self) {
        if self.tails.cluster().is_none() {
            return;
        }
        self.context.metrics.excluded_files(self.tails.excluded_files());
        for (by, is_excluded) in self.tails.take_exclusions() {
            match is_excluded {
                true => tracing::info!(source = self.context.name, %by,
                    "its logs are not read: the annotation headroom.dev/exclude says so"),
                false => tracing::info!(source = self.context.name, %by,
                    "its logs are read again, from where they were left: no annotation says otherwise any more"),
            }
        }
    }

    fn report(&mut self, lines: u64) {
        for (id, known) in self.tails.take_learned() {
            self.context.checkpoints.learn(&id, known);
        }
        for trouble in self.tails.take_troubles() {
            self.context.metrics.error(trouble.kind);
            tracing::warn!(source = self.context.name, path = %trouble.path.display(), kind = trouble.kind,
                "{}", trouble.message);
        }
        self.context.progress.set(self.tails.amount(), lines);
    }
}

/// Reads an input that is read once. Being asked to catch up, it answers at the input's end.
pub(super) async fn read_once<R: AsyncRead + Unpin>(input: Input<R>, context: Context) {
    let mut stop = context.stop.clone();
    tokio::select! {
        biased;
        _ = stop.wait_for(|&stop| stop) => {}
        _ = read_to_end(input, context) => {}
    }
}

async fn read_to_end<R: AsyncRead + Unpin>(mut input: Input<R>, mut context: Context) -> Result<(), Stopped> {
    context.readiness.ready(&context.looked);
    loop {
        let begun = telemetry::traces::now();
        match input.next_chunk().await {
            Ok(Some(chunk)) => {
                traces::read(&context.name, &chunk, begun);
                // It cannot be read again: whoever lacks what came before gets what comes now.
                while let Ok(back) = context.rewinds.try_recv() {
                    context.fan_out.lower(&back);
                }
                let (events, lines) = (chunk.batch.events.len() as u64, chunk.lines());
                context.metrics.received(events);
                context.metrics.sent(events);
                context.progress.add_lines(lines);
                context.fan_out.hand_on(chunk, now_ms()).await.map_err(|_| Stopped)?;
            }
            Ok(None) => break,
            Err(error) => {
                context.metrics.error("read_failed");
                tracing::error!(source = context.name, %error, "cannot read standard input; it ends here");
                break;
            }
        }
    }
    let ended_ms = now_ms();
    context.fan_out.caught_up(ended_ms).await.map_err(|_| Stopped)?;
    loop {
        let command = tokio::select! {
            command = context.commands.recv() => command,
            Some(back) = context.rewinds.recv() => {
                // It cannot be read again, so there is no more to come than there was.
                context.fan_out.lower(&back);
                context.fan_out.caught_up(ended_ms).await.map_err(|_| Stopped)?;
                continue;
            }
        };
        let Some(command) = command else { break };
        context.fan_out.flush().await.map_err(|_| Stopped)?;
        match command {
            Command::CatchUp(done) => drop(done.send(())),
            Command::Drain(done) => {
                let _ = done.send(());
                return Ok(());
            }
        }
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "the driver of a source reads the clock for it")]
pub(super) fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
