//! Who may do what: tokens with their scopes, and what holds where there are none.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use axum::http::{HeaderMap, Method, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::config::{AccessConfig, Scope};

/// What the old token is called in the log.
const OLD: &str = "counts.token";

/// The tokens as they are now, and what each of them is for.
#[derive(Debug, Default)]
pub struct Access {
    tokens: Vec<Token>,
    /// The old token has acknowledged, and that was told.
    told: AtomicBool,
}

/// A token; it shows itself to nobody.
struct Token {
    name: String,
    scopes: BTreeSet<Scope>,
    secret: RwLock<Arc<str>>,
    file: Option<PathBuf>,
    /// What was wrong with its file when it was looked at last.
    broken: AtomicBool,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token")
            .field("name", &self.name)
            .field("scopes", &self.scopes)
            .finish_non_exhaustive()
    }
}

/// Why somebody may not do something.
#[derive(Debug)]
pub(super) struct Denied {
    pub(super) status: StatusCode,
    pub(super) error: String,
}

impl Access {
    /// Who may do what by this configuration.
    pub fn new(config: &AccessConfig) -> Self {
        let mut tokens: Vec<Token> = config
            .tokens
            .iter()
            .map(|token| {
                Token::new(&token.name, token.scopes.clone(), token.secret.clone(), token.file.clone())
            })
            .collect();
        if let Some(secret) = &config.counts {
            let mut scopes = BTreeSet::from([Scope::Counts]);
            // For one more version: whoever has named a token that acknowledges needs it no more.
            if !tokens.iter().any(|token| token.gives(Scope::Ack)) {
                scopes.insert(Scope::Ack);
            }
            tokens.push(Token::new(OLD, scopes, secret.clone(), None));
        }
        Self { tokens, told: AtomicBool::new(false) }
    }

    /// Says in the log which scopes nobody has a token of.
    pub(crate) fn tell(&self) {
        let open: Vec<&str> = [Scope::Counts, Scope::Ack]
            .into_iter()
            .filter(|scope| !self.tokens.iter().any(|token| token.gives(*scope)))
            .map(Scope::as_str)
            .collect();
        if !open.is_empty() {
            tracing::warn!(
                scopes = open.join(", "),
                "no token has these scopes, so only this machine itself may do that: name tokens in access.tokens"
            );
        }
    }

    /// Reads the tokens that stand in files again. One that cannot be read stays what it was, and that is told once.
    pub(crate) fn reload(&self) {
        self.tokens.iter().for_each(Token::reload);
    }

    /// Whether who asks may do what needs `scope`.
    pub(super) fn check(
        &self,
        scope: Scope,
        (method, headers): (&Method, &HeaderMap),
        peer: Option<SocketAddr>,
    ) -> Result<(), Denied> {
        if !self.is_guarded(scope) {
            return self.without_token(scope, headers, peer.map(|peer| peer.ip().to_canonical()));
        }
        let shown = shown(headers, *method == Method::GET).unwrap_or_default();
        // All are compared, so that the time tells nothing of which it is.
        let known = self.tokens.iter().filter(|token| token.is(&shown)).collect::<Vec<_>>();
        if let Some(token) = known.iter().find(|token| token.gives(scope)) {
            if token.name == OLD && scope == Scope::Ack && !self.told.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    "counts.token was used to acknowledge; the next version takes only a token of access.tokens with the scope ack"
                );
            }
            return Ok(());
        }
        let scope = scope.as_str();
        Err(match known.first() {
            Some(token) => Denied {
                status: StatusCode::FORBIDDEN,
                error: format!(
                    "the token {:?} has not the scope {scope}: show one that has, or add the scope in `access.tokens` of the \
                     engine's configuration",
                    token.name
                ),
            },
            None => Denied {
                status: StatusCode::UNAUTHORIZED,
                error: format!(
                    "this needs `Authorization: Bearer <token>` with a token of the scope {scope}: `access.tokens` of the engine's \
                     configuration names them"
                ),
            },
        })
    }

    /// Whether a token is needed. Reading needs one only where one is named for it.
    fn is_guarded(&self, scope: Scope) -> bool {
        match scope {
            Scope::Read => self.tokens.iter().any(|token| token.scopes.contains(&Scope::Read)),
            _ => self.tokens.iter().any(|token| token.gives(scope)),
        }
    }

    /// What needs no token may be read by all, and done by whoever is on this machine.
    fn without_token(&self, scope: Scope, headers: &HeaderMap, peer: Option<IpAddr>) -> Result<(), Denied> {
        let is_here = peer.is_some_and(|peer| peer.is_loopback());
        // A page of elsewhere in a browser on this machine is not this machine.
        if scope == Scope::Read || (is_here && !headers.contains_key(header::ORIGIN)) {
            return Ok(());
        }
        let scope = scope.as_str();
        Err(Denied {
            status: StatusCode::FORBIDDEN,
            error: format!(
                "no token has the scope {scope}, so only the engine's own machine may do this: name a token with this scope in \
                 `access.tokens` of the engine's configuration, and show it as `Authorization: Bearer <token>`"
            ),
        })
    }
}

impl Token {
    fn new(name: &str, scopes: BTreeSet<Scope>, secret: Arc<str>, file: Option<PathBuf>) -> Self {
        let (name, secret) = (name.to_owned(), RwLock::new(secret));
        Self { name, scopes, secret, file, broken: AtomicBool::new(false) }
    }

    fn gives(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope) || self.scopes.contains(&Scope::Admin)
    }

    fn is(&self, shown: &str) -> bool {
        same(shown, &self.secret.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn reload(&self) {
        let Some(file) = &self.file else { return };
        let text = match std::fs::read_to_string(file) {
            Ok(text) if !text.trim().is_empty() => text,
            Ok(_) => return self.keep("it is empty"),
            Err(error) => return self.keep(&error.to_string()),
        };
        self.broken.store(false, Ordering::Relaxed);
        let text = text.trim_end_matches(['\r', '\n']);
        let mut secret = self.secret.write().unwrap_or_else(PoisonError::into_inner);
        if **secret != *text {
            *secret = text.into();
            tracing::info!(token = self.name, "the token has changed; the one before is good no more");
        }
    }

    fn keep(&self, why: &str) {
        if !self.broken.swap(true, Ordering::Relaxed) {
            let file = self.file.as_ref().map(|file| file.display().to_string());
            tracing::error!(
                token = self.name,
                file,
                why,
                "cannot read the token's file; the token stays what it was"
            );
        }
    }
}

/// What a request shows: as a bearer, or, where a browser reads, as the password of any name.
fn shown(headers: &HeaderMap, reads: bool) -> Option<String> {
    let (scheme, shown) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(shown.to_owned());
    }
    let pair = STANDARD.decode(shown).ok().filter(|_| reads && scheme.eq_ignore_ascii_case("basic"))?;
    Some(String::from_utf8(pair).ok()?.split_once(':')?.1.to_owned())
}

/// Compares without telling by its duration where the difference is.
fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}
