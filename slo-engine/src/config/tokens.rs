//! The key `counts`: what whoever writes must show.

use std::sync::Arc;

use settings::Table;

/// The token of those who send counts, acknowledge and resolve; nothing where nobody is asked for one.
pub(super) fn token(table: &mut Table<'_>) -> Option<Arc<str>> {
    let mut counts = table.table("counts")?;
    let token = counts.secret("token");
    if token.as_deref().is_some_and(|token| token.bytes().any(|byte| byte.is_ascii_control())) {
        counts.problem("token", "holds a control character, which no header can carry");
    }
    counts.finish();
    token.map(Arc::from)
}
