//! The task of a source: scan, read, hand on, wait; and to its end when it is asked to.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncRead;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::MissedTickBehavior;

use super::fan_out::FanOut;
use super::progress::ProgressSlot;
use crate::checkpoint::Checkpoints;
use crate::metrics::ComponentMetrics;
use crate::source::chunk::Positions;
use crate::source::stdin::Input;
use crate::source::tails::Tails;

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
    pub(super) commands: mpsc::UnboundedReceiver<Command>,
    pub(super) rewinds: mpsc::UnboundedReceiver<Positions>,
    pub(super) stop: watch::Receiver<bool>,
}

/// The source's sinks are gone, or it is told to stop.
struct Stopped;

/// Follows files until told to stop.
pub(super) async fn follow(tails: Tails, interval: Duration, context: Context) {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut following = Following { tails, context };
    let _ = following.run(&mut ticks).await;
}

struct Following {
    tails: Tails,
    context: Context,
}

impl Following {
    async fn run(&mut self, ticks: &mut tokio::time::Interval) -> Result<(), Stopped> {
        loop {
            let command = tokio::select! {
                biased;
                _ = self.context.stop.wait_for(|&stop| stop) => return Err(Stopped),
                command = self.context.commands.recv() => command,
                Some(back) = self.context.rewinds.recv() => {
                    self.tails.rewind(&back);
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
            self.context.fan_out.flush().await.map_err(|()| Stopped)?;
            match self.context.rewinds.try_recv() {
                Ok(back) => self.tails.rewind(&back),
                Err(_) => return Ok(()),
            }
        }
    }

    /// Reads what a scan finds; returns whether that was anything.
    async fn round(&mut self) -> Result<bool, Stopped> {
        let now_ms = now_ms();
        self.tails.scan(now_ms);
        self.report(0);
        let mut any = false;
        while let Some(chunk) = self.tails.next_chunk() {
            any |= chunk.batch.spans.iter().any(|span| span.start < span.end);
            let lines = chunk.lines();
            let events = chunk.batch.events.len() as u64;
            tokio::select! {
                biased;
                _ = self.context.stop.wait_for(|&stop| stop) => return Err(Stopped),
                handed = self.context.fan_out.hand_on(chunk) => handed.map_err(|()| Stopped)?,
            }
            self.context.metrics.received(events);
            self.context.metrics.sent(events);
            self.report(lines);
        }
        self.report(0);
        self.context.fan_out.caught_up(now_ms).await.map_err(|()| Stopped)?;
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
pub(super) async fn read_once<R: AsyncRead + Unpin>(mut input: Input<R>, mut context: Context) {
    loop {
        let chunk = tokio::select! {
            biased;
            _ = context.stop.wait_for(|&stop| stop) => return,
            chunk = input.next_chunk() => chunk,
        };
        match chunk {
            Ok(Some(chunk)) => {
                let (events, lines) = (chunk.batch.events.len() as u64, chunk.lines());
                context.metrics.received(events);
                context.metrics.sent(events);
                context.progress.add_lines(lines);
                if context.fan_out.hand_on(chunk).await.is_err() {
                    return;
                }
            }
            Ok(None) => break,
            Err(error) => {
                context.metrics.error("read_failed");
                tracing::error!(source = context.name, %error, "cannot read standard input; it ends here");
                break;
            }
        }
    }
    let _ = context.fan_out.caught_up(now_ms()).await;
    loop {
        let command = tokio::select! {
            _ = context.stop.wait_for(|&stop| stop) => return,
            command = context.commands.recv() => command,
        };
        let Some(command) = command else { return };
        if context.fan_out.flush().await.is_err() {
            return;
        }
        match command {
            Command::CatchUp(done) => drop(done.send(())),
            Command::Drain(done) => {
                let _ = done.send(());
                return;
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the driver of a source reads the clock for it")]
pub(super) fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
