//! Shutdown: one asks for it, everyone hears it.

use std::future::Future;
use std::io;

use tokio::select;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Asks for shutdown. When the last one is dropped, that is a request too.
#[derive(Clone, Debug)]
pub struct Stopper(watch::Sender<bool>);

/// Hears of shutdown. Clones hear the same; one made afterwards hears it at once.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

/// The two ends.
pub fn stopper() -> (Stopper, Stop) {
    let (sender, receiver) = watch::channel(false);
    (Stopper(sender), Stop(receiver))
}

impl Stopper {
    /// Asks everyone to stop. A second call does nothing.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    /// Returns when shutdown is asked for. May be dropped and called again.
    pub async fn wait(&self) {
        // An error says that no Stopper is left.
        let _ = self.0.clone().wait_for(|stop| *stop).await;
    }

    /// Whether shutdown was asked for.
    pub fn is_set(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }
}

/// Catches SIGTERM and SIGINT from now on; the future gives the name of the first that comes.
///
/// # Errors
/// When the process cannot catch signals. Must be called within a tokio runtime.
pub fn signals() -> io::Result<impl Future<Output = &'static str>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    })
}
