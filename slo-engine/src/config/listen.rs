//! The key `listen`: where the API and the page answer.

use std::net::SocketAddr;

use settings::Table;

/// The address, or nothing where it is none.
pub(super) fn listen(table: &mut Table<'_>) -> Option<SocketAddr> {
    let text = table.string_or("listen", "127.0.0.1:8080");
    let parsed = text.parse();
    if parsed.is_err() {
        table.problem(
            "listen",
            format!("{text:?} is not an address; write an address and a port, like 0.0.0.0:8080"),
        );
    }
    parsed.ok()
}
