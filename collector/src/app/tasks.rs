//! Tasks that are waited for, cancelled, or end with their owner.

use tokio::task::JoinHandle;

/// Tasks that end with their owner.
#[derive(Default)]
pub(super) struct Tasks(pub(super) Vec<JoinHandle<()>>);

impl Tasks {
    /// Waits until all have ended. Who gives up waiting may wait again: a task is struck off when it has ended.
    pub(super) async fn join(&mut self) {
        while let Some(task) = self.0.last_mut() {
            if let Err(error) = task.await {
                tracing::error!(%error, "a task of the collector failed");
            }
            self.0.pop();
        }
    }

    /// Ends the tasks where they stand and waits until they are gone, with all that they held.
    pub(super) async fn cancel(&mut self) {
        for task in &mut self.0 {
            task.abort();
            // It ends as cancelled.
            let _ = task.await;
        }
        self.0.clear();
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}
