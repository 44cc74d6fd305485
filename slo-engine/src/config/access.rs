//! The key `access`: tokens, and what each of them is for.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use settings::{Node, Table};

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// To send counts, and to ask how far they have come.
    Counts,
    /// To read: the page, budgets, incidents, dashboards.
    Read,
    /// To acknowledge and to resolve incidents.
    Ack,
    /// To do all of it.
    Admin,
}

impl Scope {
    const NAMES: &'static [&'static str] = &["counts", "read", "ack", "admin"];

    /// The word for it in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counts => "counts",
            Self::Read => "read",
            Self::Ack => "ack",
            Self::Admin => "admin",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        [Self::Counts, Self::Read, Self::Ack, Self::Admin].into_iter().find(|scope| scope.as_str() == word)
    }
}

/// Tokens, and what each of them is for; none of them where nothing is configured.
#[derive(Clone, Debug, Default)]
pub struct AccessConfig {
    /// Those of `access.tokens`.
    pub tokens: Vec<TokenConfig>,
    /// That of `counts.token`: it is for counts, and acknowledges where no other token does.
    pub counts: Option<Arc<str>>,
}

/// A token.
#[derive(Clone)]
pub struct TokenConfig {
    /// What it is called in the log.
    pub name: String,
    /// What it is for.
    pub scopes: BTreeSet<Scope>,
    /// Its text, as it was when the configuration was read.
    pub secret: Arc<str>,
    /// The file that it is read from again when it changes.
    pub file: Option<PathBuf>,
}

impl fmt::Debug for TokenConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("TokenConfig");
        shown.field("name", &self.name).field("scopes", &self.scopes).field("file", &self.file);
        shown.finish_non_exhaustive()
    }
}

impl AccessConfig {
    /// Reads `access`; `counts` is the token of the key of that name.
    pub(super) fn prove(table: &mut Table<'_>, counts: Option<Arc<str>>) -> Self {
        let Some(mut access) = table.table("access") else { return Self { tokens: Vec::new(), counts } };
        let problems = access.problems();
        let mut tokens: Vec<TokenConfig> = Vec::new();
        for node in access.list("tokens") {
            let Some(token) = token(Table::new(node, problems)) else { continue };
            if tokens.iter().any(|other| other.name == token.name) {
                let table = Table::new(node, problems);
                table.problem(
                    "name",
                    format!("there is another token {:?}; names tell them apart", token.name),
                );
            }
            tokens.push(token);
        }
        access.finish();
        Self { tokens, counts }
    }
}

fn token(mut table: Table<'_>) -> Option<TokenConfig> {
    let name = table.required_string("name");
    let mut scopes = BTreeSet::new();
    let words: Vec<&Node> = table.texts("scopes");
    for word in words.iter().filter_map(|node| node.as_str()) {
        match Scope::parse(word) {
            Some(scope) => drop(scopes.insert(scope)),
            None => table.problem("scopes", format!("{word:?} is not one of {}", Scope::NAMES.join(", "))),
        }
    }
    if words.is_empty() {
        table.problem("scopes", format!("name at least one of {}", Scope::NAMES.join(", ")));
    }
    let file = table.string("token_file").map(PathBuf::from);
    let before = table.problems().len();
    let secret = table.secret("token");
    match &secret {
        Some(secret) => refuse_blank(&table, "token", secret),
        None if table.problems().len() == before && table.place().get("token").is_none() => {
            table.problem(
                "token",
                "this key is missing; write ${VARIABLE} here, or name a file in token_file",
            );
        }
        None => {}
    }
    table.finish();
    Some(TokenConfig { name, scopes, secret: secret?.into(), file })
}

/// A variable that is empty would let nobody in, and nobody would know why.
pub(super) fn refuse_blank(table: &Table<'_>, key: &str, secret: &str) {
    if secret.trim().is_empty() || secret.contains(|c: char| c.is_control()) {
        table.problem(key, "the token is empty or holds a line end; nobody could ever show it");
    }
}
