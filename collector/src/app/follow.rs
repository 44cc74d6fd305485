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
use crate::event::StreamId;
use crate::metrics::ComponentMetrics;
use crate::sink::Rewind;
use crate::source::stdin::Input;
use crate::source::tails::Tails;
use crate::traces;

/// Rounds after which files that grow without end are left to the next ones.
const ROUNDS: u32 = 20;

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
    let mut following = Following { tails, context, gone_back: BTreeSet::new() };
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
}

impl Following {
    async fn run(&mut self, ticks: &mut tokio::time::Interval) -> Result<(), Stopped> {
        loop {
            let command = tokio::select! {
                biased;
                command = self.context.commands.recv() => command,
                Some(back) = self.context.rewinds.recv() => {
                    self.go_back(&back);
                    None
                }
                _ = ticks.tick() => None,
            };
            match command {
                None => {
                    self.round().await?;
                }
                Some(Command::CatchUp(done)) => {
                    self.catch_up().await?;
                    let _ = done.send(());
                }
                Some(Command::Drain(done)) => {
                    self.tails.drain();
                    self.catch_up().await?;
                    let _ = done.send(());
                    return Ok(());
                }
            }
        }
    }

    async fn catch_up(&mut self) -> Result<(), Stopped> {
        let mut rounds = 0;
        loop {
            // A round that read something may have uncovered a file to be read: a copy that took over, a file that differs.
            while self.round().await? && rounds < ROUNDS {
                rounds += 1;
            }
            self.context.fan_out.flush().await.map_err(|_| Stopped)?;
            let back = self.context.rewinds.try_recv();
            if let Ok(back) = &back {
                self.go_back(back);
            }
            if back.is_err() && !self.go_back_for_recovered() {
                return Ok(());
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

    /// Goes back for sinks that were behind and are ready again; returns whether there are any.
    fn go_back_for_recovered(&mut self) -> bool {
        let recovered = self.context.fan_out.recovered();
        for sent in &recovered {
            self.tails.rewind(|id| Some(sent.get(id).copied().unwrap_or(0)));
        }
        !recovered.is_empty()
    }

    /// Reads what a scan finds; returns whether that was anything.
    async fn round(&mut self) -> Result<bool, Stopped> {
        let now_ms = now_ms();
        self.go_back_for_recovered();
        self.tails.scan(now_ms);
        self.context.readiness.ready(&self.context.looked);
        self.say_what_is_gone();
        self.report(0);
        let (mut any, mut begun) = (false, telemetry::traces::now());
        while let Some(chunk) = self.tails.next_chunk() {
            traces::read(&self.context.name, &chunk, begun);
            any |= chunk.batch.spans.iter().any(|span| span.start < span.end);
            let lines = chunk.lines();
            let events = chunk.batch.events.len() as u64;
            self.context.fan_out.hand_on(chunk).await.map_err(|_| Stopped)?;
            self.context.metrics.received(events);
            self.context.metrics.sent(events);
            self.report(lines);
            begun = telemetry::traces::now();
        }
        self.report(0);
        self.context.fan_out.caught_up(now_ms).await.map_err(|_| Stopped)?;
        Ok(any)
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
                let (events, lines) = (chunk.batch.events.len() as u64, chunk.lines());
                context.metrics.received(events);
                context.metrics.sent(events);
                context.progress.add_lines(lines);
                context.fan_out.hand_on(chunk).await.map_err(|_| Stopped)?;
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
