//! The progress bar of `up`, on standard error, and only on a terminal.

use std::time::Duration;

use collector::app::App;
use indicatif::{ProgressBar, ProgressStyle};

/// How often the bar moves.
const REDRAW: Duration = Duration::from_millis(100);

/// Shows how much was read until everything was.
pub(super) async fn until_caught_up(collector: &App) -> anyhow::Result<()> {
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {bytes} of {total_bytes}, {msg}, {elapsed}") {
        bar.set_style(style);
    }
    let caught_up = collector.caught_up();
    tokio::pin!(caught_up);
    loop {
        let progress = collector.progress();
        bar.set_length(progress.bytes_total);
        bar.set_position(progress.bytes_read);
        bar.set_message(format!("{} lines of {} streams", progress.lines, progress.streams));
        tokio::select! {
            done = &mut caught_up => {
                bar.finish_and_clear();
                return done;
            }
            () = tokio::time::sleep(REDRAW) => {}
        }
    }
}
